//! The known name that someone most likely meant.

/// Names longer than this are not compared: the effort grows with the product of the lengths.
const NAME_CHARS_MAX: usize = 64;

/// The candidate with the fewest edits from `name`, if it is near enough to be a slip.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let length = name.chars().count();
    if length > NAME_CHARS_MAX {
        return None;
    }
    // A single letter is no slip of another one.
    let edits_max = (length / 3).max(length.min(2) / 2);
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= edits_max)
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|&(edits, _)| edits <= edits_max)
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, candidate)| candidate)
}

/// Counts insertions, removals, replacements and swaps of neighbours (optimal string alignment), ignoring case.
pub fn edits(left: &str, right: &str) -> usize {
    strsim::osa_distance(&left.to_lowercase(), &right.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name() {
        let keys = ["url", "protocol", "key", "key_header", "headers"];
        assert_eq!(nearest("protcol", keys), Some("protocol"));
        assert_eq!(nearest("ulr", keys), Some("url"));
        assert_eq!(nearest("KEY", keys), Some("key"));
        assert_eq!(nearest("key-header", keys), Some("key_header"));
    }

    #[test]
    fn a_stranger_finds_none() {
        assert_eq!(nearest("weight", ["url", "protocol", "key"]), None);
        assert_eq!(nearest("3", ["1", "2"]), None);
        assert_eq!(nearest("", ["1"]), None);
        assert_eq!(nearest(&"a".repeat(65), [&*"a".repeat(65)]), None);
    }
}
