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

/// Insertions, removals, replacements and swaps of neighbours (optimal string alignment), without regard to case.
pub fn edits(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().flat_map(char::to_lowercase).collect();
    let right: Vec<char> = right.chars().flat_map(char::to_lowercase).collect();
    let mut before_last = vec![0; right.len() + 1];
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, &a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &b) in right.iter().enumerate() {
            let mut best = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a == right[j - 1] && left[i - 1] == b {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[right.len()]
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
