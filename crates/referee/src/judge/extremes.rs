//! Where along a row its value next falls below a bound, in O(log n): a tree of minima over the values, in writing order.

/// The minima of all ranges of a power of two, leaves last.
#[derive(Debug)]
pub struct Minima {
    tree: Vec<i64>,
    leaves: usize,
    len: usize,
}

impl Minima {
    /// The tree over these values.
    pub fn new(values: impl ExactSizeIterator<Item = i64>) -> Self {
        let len = values.len();
        let leaves = len.next_power_of_two();
        let mut tree = vec![i64::MAX; 2 * leaves];
        for (leaf, value) in tree[leaves..].iter_mut().zip(values) {
            *leaf = value;
        }
        for node in (1..leaves).rev() {
            tree[node] = tree[2 * node].min(tree[2 * node + 1]);
        }
        Self { tree, leaves, len }
    }

    /// The first place from `from` on with a value below `bound`. The bound is wider than the values: it may lie
    /// beyond all of them.
    pub fn next_below(&self, from: usize, bound: i128) -> Option<usize> {
        if from >= self.len {
            return None;
        }
        let mut node = self.leaves + from;
        while i128::from(self.tree[node]) >= bound {
            // To the right of a node that has nothing: its sibling, or that of the first ancestor which is a left child.
            while node % 2 == 1 {
                node /= 2;
                if node <= 1 {
                    return None;
                }
            }
            node += 1;
        }
        while node < self.leaves {
            node *= 2;
            if i128::from(self.tree[node]) >= bound {
                node += 1;
            }
        }
        // A leaf beyond the last value holds `i64::MAX`, which a bound beyond all values finds.
        (node - self.leaves < self.len).then_some(node - self.leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_next_below_is_what_a_walk_finds(
            values in proptest::collection::vec(-9..9_i64, 0..40), from in 0..45_usize, bound in -10..10_i128
        ) {
            let walked = (from..values.len()).find(|&place| i128::from(values[place]) < bound);
            prop_assert_eq!(Minima::new(values.iter().copied()).next_below(from, bound), walked);
        }
    }

    #[test]
    fn a_bound_beyond_all_values_finds_the_next_place_and_nothing_beyond_the_last() {
        let minima = Minima::new([i64::MAX, i64::MIN, i64::MAX].into_iter());
        assert_eq!(minima.next_below(2, i128::MAX), Some(2));
        assert_eq!(minima.next_below(3, i128::MAX), None);
        assert_eq!(minima.next_below(2, i128::from(i64::MAX)), None);
    }
}
