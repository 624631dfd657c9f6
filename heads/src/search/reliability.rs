//! Which heads are good on all prompts, and not on some only.

/// Of heads with these recovery rates by prompt, by how much each exceeds a typical head, in parts of what
/// the best ones do: 0 is typical, 1 as good as the best. That is on all but the prompts that a bound of
/// `confidence` leaves out: on the worst one where there are few. Typical is the median of a prompt; where
/// all are alike, all are reliable.
pub(super) fn reliabilities(rates: &[Vec<f64>], confidence: f64) -> Vec<f64> {
    let prompts = rates.iter().map(Vec::len).min().unwrap_or(0);
    let of_prompt = |prompt: usize| {
        let mut rates: Vec<f64> = rates.iter().map(|rates| rates[prompt]).collect();
        rates.sort_by(f64::total_cmp);
        let last = rates.len() - 1;
        (rates[last / 2], rates[last] - rates[last / 2])
    };
    let (typical, best): (Vec<f64>, Vec<f64>) = (0..prompts).map(of_prompt).unzip();
    // Of all prompts: there are some on which no head is much better than others.
    let best = best.iter().sum::<f64>() / prompts as f64;
    let reliability = |rates: &Vec<f64>| {
        let mut excess: Vec<f64> = rates.iter().zip(&typical).map(|(rate, typical)| rate - typical).collect();
        excess.sort_by(f64::total_cmp);
        let left_out = ((1.0 - confidence) * excess.len() as f64) as usize;
        excess.get(left_out).filter(|_| best > 0.0).map_or(1.0, |excess| excess / best)
    };
    rates.iter().map(reliability).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_as_reliable_as_its_worst_prompt() {
        // The best one gains 0.2 in the mean, the second half as much, the third is the best on the first prompt alone.
        let rates = [
            vec![0.8, 0.7],
            vec![0.7, 0.6],
            vec![0.8, 0.5],
            vec![0.6, 0.5],
            vec![0.6, 0.5],
            vec![0.5, 0.4],
            vec![0.5, 0.4],
        ];
        let found = reliabilities(&rates, 0.95);
        let expected = [1.0, 0.5, 0.0, 0.0, 0.0, -0.5, -0.5];
        assert!(
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-9),
            "{found:?}"
        );
        // With less confidence than half of the prompts, the worst one is left out.
        assert!((reliabilities(&rates, 0.5)[2] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn where_all_are_alike_all_are_reliable() {
        assert_eq!(reliabilities(&[vec![0.5, 0.6], vec![0.5, 0.6]], 0.95), [1.0, 1.0]);
        assert_eq!(reliabilities(&[], 0.95), [0.0; 0]);
    }
}
