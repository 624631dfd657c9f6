//! What candidates write: arrays that hold poison before, between bands of poison that nobody may write.

use dustin::select::compare::UNWRITTEN;

/// Items of a band. A multiple of every alignment that kernels ask for, and longer than a row of most outputs.
const BAND: usize = 16 << 10;

/// An item of an array that is written.
pub(crate) trait Item: Copy {
    /// What an item holds that nobody has written: for numbers a NaN that no arithmetic gives.
    const POISON: Self;

    /// Its bits: a NaN is equal to itself by them.
    fn bits(self) -> u32;

    /// The item of which every byte is `byte`.
    fn of(byte: u8) -> Self;

    /// Whether it is as nobody has written it.
    fn is_poison(self) -> bool {
        self.bits() == Self::POISON.bits()
    }
}

/// The bits of a 16-bit number; these are a NaN in both element types.
impl Item for u16 {
    const POISON: Self = 0x7fed;

    fn bits(self) -> u32 {
        self.into()
    }

    fn of(byte: u8) -> Self {
        Self::from_ne_bytes([byte; 2])
    }
}

impl Item for f32 {
    const POISON: Self = Self::from_bits(0x7fed_5eed);

    fn bits(self) -> u32 {
        self.to_bits()
    }

    fn of(byte: u8) -> Self {
        Self::from_ne_bytes([byte; 4])
    }
}

impl Item for i32 {
    const POISON: Self = UNWRITTEN;

    fn bits(self) -> u32 {
        self.cast_unsigned()
    }

    fn of(byte: u8) -> Self {
        Self::from_ne_bytes([byte; 4])
    }
}

/// An array between two bands.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<T>(Vec<T>);

impl<T: Item> Guarded<T> {
    /// Bytes from the first band's beginning to the array's.
    pub(crate) const OFFSET: u64 = (BAND * size_of::<T>()) as u64;

    /// An array that holds `before`.
    pub(crate) fn holding(before: &[T]) -> Self {
        let band = [T::POISON; BAND];
        Self([&band, before, &band].concat())
    }

    /// An array of so many items that nobody has written.
    pub(crate) fn unwritten(items: usize) -> Self {
        Self(vec![T::POISON; items + 2 * BAND])
    }

    /// An array as [`Guarded::whole`] gives it.
    pub(crate) fn of_whole(whole: Vec<T>) -> Self {
        Self(whole)
    }

    /// The array with its bands.
    pub(crate) fn whole(&self) -> &[T] {
        &self.0
    }

    /// The array.
    pub(crate) fn items(&self) -> &[T] {
        self.0.get(BAND..self.0.len().saturating_sub(BAND)).unwrap_or_default()
    }

    /// The array, to be written.
    pub(crate) fn items_mut(&mut self) -> &mut [T] {
        let end = self.0.len().saturating_sub(BAND);
        self.0.get_mut(BAND..end).unwrap_or_default()
    }

    /// Overwrites the array, byte by byte.
    pub(crate) fn spoil(&mut self, byte: u8) {
        self.items_mut().fill(T::of(byte));
    }

    /// Refuses an array beside which something was written.
    ///
    /// # Errors
    /// Where.
    pub(crate) fn require_bands(&self, what: &str) -> Result<(), String> {
        let strange = |band: &[T]| band.iter().position(|item| !item.is_poison());
        let (before, behind) = (self.0.get(..BAND), self.0.get(self.0.len().saturating_sub(BAND)..));
        if let Some(at) = strange(before.unwrap_or_default()) {
            return Err(format!("something was written {} items before {what} begins", BAND - at));
        }
        match strange(behind.unwrap_or_default()) {
            Some(at) => Err(format!("something was written {} items behind the end of {what}", at + 1)),
            None => Ok(()),
        }
    }

    /// Where the array, bands included, differs from `other` in any bit.
    pub(crate) fn difference(&self, other: &Self, what: &str) -> Option<String> {
        if self.0.len() != other.0.len() {
            return Some(format!("{what} has {} items, and {}", self.items().len(), other.items().len()));
        }
        let mut pairs = self.0.iter().zip(&other.0);
        let at = pairs.position(|(own, other)| own.bits() != other.bits())?;
        let (own, other) = (self.0[at].bits(), other.0[at].bits());
        let at = at as i64 - BAND as i64;
        Some(format!("item {at} of {what} has the bits {own:#x}, and {other:#x}"))
    }
}

/// All that a candidate writes.
pub(crate) trait Written {
    /// Its bytes, bands included.
    fn bytes(&self) -> usize;

    /// Overwrites it, byte by byte.
    fn spoil(&mut self, byte: u8);

    /// Where it differs from `other` in any bit.
    fn difference(&self, other: &Self) -> Option<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poison_is_no_number_of_any_type_and_not_the_usual_nan() {
        use dustin::element::decode;
        use dustin_kernels::registry::Dtype;
        assert!(decode(Dtype::Bf16, u16::POISON).is_nan() && decode(Dtype::F16, u16::POISON).is_nan());
        assert!(f32::POISON.is_nan() && !f32::NAN.is_poison() && f32::POISON.is_poison());
    }

    #[test]
    fn what_is_written_beside_an_array_is_found_on_either_side() {
        let mut array = Guarded::holding(&[1.0_f32, 2.0]);
        assert_eq!((array.items(), array.require_bands("it")), (&[1.0, 2.0][..], Ok(())));
        array.items_mut()[1] = f32::POISON;
        assert_eq!(array.require_bands("it"), Ok(()), "that is the array's own");
        for (at, words) in
            [(0, "16384 items before"), (BAND - 1, "1 items before"), (BAND + 2, "1 items behind")]
        {
            let mut stray = array.clone();
            // A NaN, but not the one that was there.
            stray.0[at] = f32::NAN;
            assert!(stray.require_bands("it").unwrap_err().contains(words), "{at}");
        }
    }

    #[test]
    fn arrays_differ_in_any_bit_and_a_nan_is_itself() {
        let array = Guarded::holding(&[0.0_f32, f32::NAN]);
        assert_eq!(array.difference(&array.clone(), "it"), None);
        let mut other = array.clone();
        other.items_mut()[0] = -0.0;
        assert!(array.difference(&other, "it").unwrap().contains("item 0 of it"));
        assert!(array.difference(&Guarded::unwritten(3), "it").unwrap().contains("2 items"));
    }
}
