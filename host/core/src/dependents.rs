//! Who follows the restart of a workspace that others depend on, and in which
//! order.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::WorkspaceId;

/// Everybody who depends on `parent`, directly or through others: each once, after
/// those that it depends on, otherwise by name. The parent never. A circle is
/// broken at its first name.
pub fn in_order(
    parent: &WorkspaceId,
    depends_on: &BTreeMap<WorkspaceId, Vec<WorkspaceId>>,
) -> Vec<WorkspaceId> {
    let mut left = all_of(parent, depends_on);
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(first) = left.first() {
        let is_free = |id: &&WorkspaceId| !depends_on[*id].iter().any(|on| left.contains(on));
        let next = left.iter().find(is_free).unwrap_or(first).clone();
        left.remove(&next);
        ordered.push(next);
    }
    ordered
}

fn all_of(
    parent: &WorkspaceId,
    depends_on: &BTreeMap<WorkspaceId, Vec<WorkspaceId>>,
) -> BTreeSet<WorkspaceId> {
    let mut found = BTreeSet::new();
    let mut of = vec![parent];
    while let Some(on) = of.pop() {
        for (id, _) in depends_on.iter().filter(|(_, needed)| needed.contains(on)) {
            if id != parent && found.insert(id.clone()) {
                of.push(id);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_follows_once_after_those_that_it_depends_on() {
        for (case, edges, expected) in [
            ("nobody", &[("a", "b")][..], &[][..]),
            ("directly, by name", &[("c", "p"), ("b", "p")], &["b", "c"]),
            ("through another", &[("a", "b"), ("b", "p")], &["b", "a"]),
            ("a diamond", &[("a", "b"), ("a", "c"), ("b", "p"), ("c", "p")], &["b", "c", "a"]),
            ("on others, too", &[("b", "p"), ("b", "x")], &["b"]),
            ("a circle through the parent", &[("p", "a"), ("a", "p")], &["a"]),
            ("a circle beside it", &[("a", "p"), ("a", "b"), ("b", "a")], &["a", "b"]),
            ("itself", &[("a", "p"), ("a", "a")], &["a"]),
        ] {
            let id = |name: &str| name.parse::<WorkspaceId>().unwrap();
            let mut depends_on = BTreeMap::<_, Vec<_>>::new();
            for (dependent, on) in edges {
                depends_on.entry(id(dependent)).or_default().push(id(on));
            }
            let expected: Vec<_> = expected.iter().map(|name| id(name)).collect();
            assert_eq!(in_order(&id("p"), &depends_on), expected, "{case}");
        }
    }
}
