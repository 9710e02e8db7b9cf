//! The order of named values, in which what a server may read into one value keeps its order.

use std::collections::HashMap;

/// Sorts values by the `root` of their names. Those that a server may read into one value form a
/// group, and keep their order: names with one root, names that PHP reads as one (`a b`, `a.b` and
/// `a_b`), and nested names whose first part is the same (`a.b` and `a[b]`). A group stands where
/// the first of its roots does.
pub(super) fn sorted<T>(
    values: Vec<(String, T)>,
    root: impl Fn(&str) -> String,
) -> Vec<(String, T)> {
    let mut groups = Groups::default();
    let numbers: Vec<usize> = values.iter().map(|(name, _)| groups.add(name, root(name))).collect();
    let mut values: Vec<_> =
        numbers.into_iter().map(|number| groups.first_root(number)).zip(values).collect();
    values.sort_by(|(a, _), (b, _)| a.cmp(b));
    values.into_iter().map(|(_, value)| value).collect()
}

/// Groups of names. Each has a number, and leads to the group that it has become a part of.
#[derive(Default)]
struct Groups {
    /// The groups by what the names in them have in common.
    by_part: HashMap<String, usize>,
    /// The group that each is a part of, or itself.
    parents: Vec<usize>,
    /// The first root of each group.
    roots: Vec<String>,
}

impl Groups {
    /// Adds a name, and returns the number of a group that it is in.
    fn add(&mut self, name: &str, root: String) -> usize {
        let number = self.parents.len();
        self.parents.push(number);
        self.roots.push(root.clone());
        let name = name.trim_start_matches(' ').to_lowercase();
        let php = name.split('[').next().unwrap_or_default().replace([' ', '.'], "_");
        let first = name.split(['[', '.']).next().unwrap_or_default().replace(' ', "_");
        self.join(number, root);
        self.join(number, php);
        self.join(number, first);
        number
    }

    /// Makes one group of this group and the one whose names have `part` in common.
    fn join(&mut self, number: usize, part: String) {
        let number = self.find(number);
        let other = *self.by_part.entry(part).or_insert(number);
        let other = self.find(other);
        if other != number {
            let root = std::mem::take(&mut self.roots[number]);
            if root < self.roots[other] {
                self.roots[other] = root;
            }
            self.parents[number] = other;
        }
    }

    /// The group that this one has become a part of.
    fn find(&mut self, mut number: usize) -> usize {
        while self.parents[number] != number {
            // Halves the way for the next search.
            self.parents[number] = self.parents[self.parents[number]];
            number = self.parents[number];
        }
        number
    }

    fn first_root(&mut self, number: usize) -> String {
        let number = self.find(number);
        self.roots[number].clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The names in their order, with their positions before.
    fn order(names: &[&str]) -> String {
        let values = names.iter().enumerate().map(|(at, name)| ((*name).to_owned(), at)).collect();
        let root = |name: &str| name.split('[').next().unwrap_or_default().to_lowercase();
        let sorted: Vec<String> =
            sorted(values, root).into_iter().map(|(name, at)| format!("{name} {at}")).collect();
        sorted.join(", ")
    }

    #[test]
    fn names_that_may_be_one_value_keep_their_order() {
        for (names, expected) in [
            (&["b", "a", "B", "A"][..], "a 1, A 3, b 0, B 2"),
            (&["b", "a[y]", "a[x]", "a"], "a[y] 1, a[x] 2, a 3, b 0"),
            // Names with an underscore alone are independent.
            (&["a_c", "a_b", "a"], "a 2, a_b 1, a_c 0"),
            (&["c", "a_b", "a.b"], "a_b 1, a.b 2, c 0"),
            (&["c", "a.b", "a[b]", "a"], "a.b 1, a[b] 2, a 3, c 0"),
            // `a_b` is one with `a.b`, and `a.b` with `a[b]`.
            (&["c", "a_b", "a[b]", "a.b"], "a_b 1, a[b] 2, a.b 3, c 0"),
            (&["c", "a.b", "a[b]", "a_b", "a_c"], "a.b 1, a[b] 2, a_b 3, a_c 4, c 0"),
            (&["b", " a", "A b", "a", "a_b"], " a 1, a 3, A b 2, a_b 4, b 0"),
            (&["", "b", ""], " 0,  2, b 1"),
        ] {
            assert_eq!(order(names), expected, "{names:?}");
        }
    }

    proptest! {
        /// The keys of such names are those of the first version of this crate.
        #[test]
        fn names_without_dots_and_spaces_are_sorted_by_their_roots(
            names in prop::collection::vec("[abAB_é]{1,2}(\\[[xy.]?\\]){0,2}", 0..6),
        ) {
            let root = |name: &str| name.split('[').next().unwrap_or_default().to_lowercase();
            let values: Vec<_> = names.into_iter().zip(0..).collect();
            let mut expected = values.clone();
            expected.sort_by_cached_key(|(name, _)| root(name));
            prop_assert_eq!(sorted(values, root), expected);
        }
    }

    #[test]
    fn many_nested_names_keep_their_order() {
        let names: Vec<String> = (0..50_000).map(|at| format!("a{at}.b[{at}]")).collect();
        let names: Vec<&str> = names.iter().rev().map(String::as_str).collect();
        assert!(order(&names).starts_with("a0.b[0] 49999, "));
    }
}
