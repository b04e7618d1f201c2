//! The normalised digest of a submission: equal for copies that differ in blanks and comments only (TOURNAMENT 6).

use tiltyard_attestation::Hex;

/// Path of the one file of a recipe submission.
pub const RECIPE_PATH: &str = "recipe.toml";

/// SHA-256 over `u64be length || path || u64be length || text` of each file, sorted by path.
///
/// A text is normalised line by line: CR LF and LF end a line, blanks at its end go, and so do empty
/// lines and lines that hold a `#` comment only. Every line that stays ends in LF.
pub fn normalised_digest<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Hex<32> {
    let mut files: Vec<(&str, &str)> = files.into_iter().collect();
    files.sort_unstable();
    let mut input = Vec::new();
    for (path, text) in files {
        for part in [path, &normalised(text)] {
            input.extend_from_slice(&(part.len() as u64).to_be_bytes());
            input.extend_from_slice(part.as_bytes());
        }
    }
    Hex::sha256(&input)
}

fn normalised(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let lines = text.lines().map(str::trim_end);
    for line in lines.filter(|line| !line.is_empty() && !line.trim_start().starts_with('#')) {
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_comments_and_line_ends_make_no_difference() {
        let plain = normalised_digest([(RECIPE_PATH, "rank = 8\nalpha = 16\n")]);
        let dressed = "# mine\r\nrank = 8  \r\n\r\n   # more\nalpha = 16";
        assert_eq!(normalised_digest([(RECIPE_PATH, dressed)]), plain);
    }

    #[test]
    fn values_names_and_borders_make_one() {
        let plain = normalised_digest([("a", "x"), ("b", "y")]);
        assert_eq!(normalised_digest([("b", "y"), ("a", "x")]), plain);
        for other in [[("a", "x"), ("b", "z")], [("a", "x"), ("c", "y")], [("a", "xb"), ("", "y")]] {
            assert_ne!(normalised_digest(other), plain);
        }
        assert_ne!(normalised_digest([("a", " x")]), normalised_digest([("a", "x")]));
    }
}
