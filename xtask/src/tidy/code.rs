//! Rust text without its comments and without the insides of its strings, line by line the same.

/// Replaces comments and the contents of string and character literals by spaces.
pub(crate) fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, keep) = token(&chars, at);
        for (i, &c) in chars[at..end].iter().enumerate() {
            let edge = keep == Keep::Edges && (i == 0 || at + i + 1 == end);
            out.push(if keep == Keep::All || c == '\n' || edge { c } else { ' ' });
        }
        at = end;
    }
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    All,
    /// The quotes, not what is between them.
    Edges,
    Nothing,
}

/// The token that begins at `at`: where it ends and what stays of it.
fn token(chars: &[char], at: usize) -> (usize, Keep) {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => (line_end(chars, at), Keep::Nothing),
        '/' if next == Some('*') => (comment_end(chars, at), Keep::Nothing),
        '"' => (string_end(chars, at), Keep::Edges),
        '\'' => char_or_lifetime(chars, at),
        c if is_word(c) => word_or_raw_string(chars, at),
        _ => (at + 1, Keep::All),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_end(chars: &[char], at: usize) -> usize {
    (at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len())
}

/// Block comments nest.
fn comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut i = at + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

fn char_or_lifetime(chars: &[char], at: usize) -> (usize, Keep) {
    if chars.get(at + 1) == Some(&'\\') {
        let close = (at + 3..chars.len()).find(|&i| chars[i] == '\'');
        return (close.map_or(chars.len(), |i| i + 1), Keep::Edges);
    }
    if chars.get(at + 2) == Some(&'\'') { (at + 3, Keep::Edges) } else { (at + 1, Keep::All) }
}

/// A whole word, so that the `r` of `for` is not taken for the start of a raw string.
fn word_or_raw_string(chars: &[char], at: usize) -> (usize, Keep) {
    let end = (at..chars.len()).find(|&i| !is_word(chars[i])).unwrap_or(chars.len());
    let word: String = chars[at..end].iter().collect();
    if !matches!(word.as_str(), "r" | "br" | "cr") {
        return (end, Keep::All);
    }
    let hashes = chars[end..].iter().take_while(|&&c| c == '#').count();
    if chars.get(end + hashes) != Some(&'"') {
        return (end, Keep::All);
    }
    let closes = |i: usize| chars[i] == '"' && (1..=hashes).all(|h| chars.get(i + h) == Some(&'#'));
    let close = (end + hashes + 1..chars.len()).find(|&i| closes(i));
    (close.map_or(chars.len(), |i| i + hashes + 1), Keep::Nothing)
}

/// Does `line` contain `word` as a word of its own?
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blank_and_lines_stay() {
        let text = "let a = \"unsafe\"; // unsafe\n/* unsafe /* deep */ unsafe\n */ let b = 'u';\n";
        let blank = code(text);
        assert!(!blank.contains("unsafe"), "{blank}");
        assert!(blank.contains("let a = \"      \";") && blank.contains("let b = ' ';"));
        assert_eq!(blank.lines().count(), text.lines().count());
    }

    #[test]
    fn quotes_that_are_none_confuse_nobody() {
        let text = "fn f<'a>(x: &'a str) -> char { '\"' } let n = '\\''; let s = r#\"a\"unsafe\"#; \
                    let t = br\"unsafe\"; for r in x { real }";
        let blank = code(text);
        assert!(!blank.contains("unsafe") && blank.contains("real"), "{blank}");
        assert!(blank.contains("fn f<'a>(x: &'a str)"));
        assert_eq!(blank.chars().count(), text.chars().count());
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("unsafe impl Send", "unsafe"));
        assert!(!has_word("unsafe_op_in_unsafe_fn", "unsafe"));
    }
}
