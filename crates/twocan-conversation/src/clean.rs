//! Makes a stranger's text harmless to a terminal and to the eye.

use twocan::MAX_NICK;

/// Most marks that may follow one another without a base character. Unicode's stream-safe format
/// allows 30.
const MAX_MARKS: usize = 30;

/// The text with everything removed that could steer a terminal or mislead a reader.
///
/// Line ends become `\n` and tabs four spaces. Other control characters become their visible
/// pictures, so that an escape sequence is seen and has no effect. Controls of the writing
/// direction and invisible fillers are dropped.
pub fn clean_text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut marks = 0;
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        if is_mark(c) {
            marks += 1;
            if marks > MAX_MARKS {
                continue;
            }
        } else {
            marks = 0;
        }
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\t' => out.push_str("    "),
            '\0'..='\x1f' => out.push(picture(c)),
            '\x7f' => out.push('\u{2421}'),
            c if c.is_control() => out.push('\u{FFFD}'),
            c if is_misleading(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// A nick on one line, without control characters, trimmed, at most [`MAX_NICK`] bytes.
pub fn clean_nick(raw: &str) -> String {
    let mut nick = String::new();
    for c in raw.chars().filter(|c| !c.is_control() && !is_misleading(*c) && !is_line_end(*c)) {
        if nick.len() + c.len_utf8() > MAX_NICK {
            break;
        }
        nick.push(c);
    }
    nick.trim().to_owned()
}

/// The visible picture of a C0 control character (U+2400 block).
fn picture(c: char) -> char {
    char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{FFFD}')
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Overrides and isolates of the writing direction, and characters that nobody can see: no language
/// needs them in a chat line, and all of them have been used to make a text look like another.
/// Joiners stay (emoji, Persian).
fn is_misleading(c: char) -> bool {
    matches!(c,
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{206F}'
        | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{2060}'..='\u{2064}' | '\u{180E}')
}

/// Combining marks that stack (the blocks that abusers use; languages with long clusters stay below
/// the limit).
fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036F}' | '\u{0483}'..='\u{0489}' | '\u{1AB0}'..='\u{1AFF}'
        | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FE20}'..='\u{FE2F}' | '\u{200B}'..='\u{200D}' | '\u{E0100}'..='\u{E01EF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_is_seen_and_has_no_effect() {
        assert_eq!(clean_text("a\x1b[31mred\x1b]0;title\x07"), "a␛[31mred␛]0;title␇");
        assert_eq!(clean_text("\u{9b}31m\x7f"), "\u{FFFD}31m␡");
        assert!(clean_text("\x1b[2J\0\x08").chars().all(|c| !c.is_control()));
    }

    #[test]
    fn line_ends_are_one_kind_and_tabs_are_spaces() {
        assert_eq!(clean_text("a\r\nb\rc\u{2028}d\te"), "a\nb\nc\nd    e");
    }

    #[test]
    fn direction_overrides_and_invisible_fillers_go() {
        assert_eq!(clean_text("abc\u{202E}fdp.exe\u{202C}\u{2066}\u{FEFF}"), "abcfdp.exe");
        assert_eq!(clean_nick("\u{202E}ecila"), "ecila");
    }

    #[test]
    fn ordinary_text_of_many_languages_stays_as_it_is() {
        for text in ["안녕하세요, 밤이에요", "👩‍👩‍👧‍👦 🇰🇷 ❤️", "e\u{301}", "می‌خواهم", "日本語", "𝄞"]
        {
            assert_eq!(clean_text(text), text);
        }
    }

    #[test]
    fn a_tower_of_marks_is_cut() {
        let tower = format!("a{}b", "\u{301}".repeat(500));
        assert_eq!(clean_text(&tower).chars().count(), 2 + MAX_MARKS);
    }

    #[test]
    fn a_nick_is_one_short_line() {
        assert_eq!(clean_nick("  bob\r\n\x1b[0m "), "bob[0m");
        let long = clean_nick(&"가".repeat(100));
        assert_eq!(long.len(), 63);
    }
}
