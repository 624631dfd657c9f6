//! The rows of one forward: a chain, or a tree of drafts.

/// Tokens, and the row that each continues; -1 for the first.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) tokens: Vec<i32>,
    pub(crate) parents: Vec<i32>,
}

impl Rows {
    /// Rows that continue one another.
    pub(crate) fn chain(tokens: &[i32]) -> Self {
        Self { tokens: tokens.to_vec(), parents: (-1..tokens.len() as i32 - 1).collect() }
    }

    /// The pending token, and behind it candidates level by level: the first of a level continues the first of the level before, as
    /// do the others, which nothing continues.
    pub(crate) fn drafted(pending: i32, levels: &[Vec<i32>]) -> Self {
        let mut rows = Self { tokens: vec![pending], parents: vec![-1] };
        let mut parent = 0;
        for level in levels {
            let first = rows.tokens.len() as i32;
            rows.tokens.extend(level);
            rows.parents.extend(level.iter().map(|_| parent));
            parent = first;
        }
        rows
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// How many rows each has before it, towards the first.
    pub(crate) fn depths(&self) -> Vec<usize> {
        let mut depths: Vec<usize> = Vec::new();
        for &parent in &self.parents {
            depths.push(usize::try_from(parent).map_or(0, |parent| depths[parent] + 1));
        }
        depths
    }

    /// The rows that each sees: those that it continues, and itself.
    pub(crate) fn masks(&self) -> Vec<u64> {
        let mut masks: Vec<u64> = Vec::new();
        for (row, &parent) in self.parents.iter().enumerate() {
            masks.push(usize::try_from(parent).map_or(0, |parent| masks[parent]) | 1 << row);
        }
        masks
    }
}
