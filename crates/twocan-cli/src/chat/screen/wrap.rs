//! Text into rows of a given width, by what a person sees as one character.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Breaks `text` into rows: the first of at most `first` columns, the others of at most `rest`.
/// Breaks after a space where there is one, else between characters; never inside one. A character
/// wider than a row has the row alone.
pub(super) fn rows(text: &str, first: usize, rest: usize) -> Vec<String> {
    let mut rows = Vec::new();
    for line in text.split('\n') {
        let mut row = String::new();
        let mut used = 0;
        for word in line.split_inclusive(' ') {
            let limit = if rows.is_empty() { first } else { rest }.max(1);
            let wide = width(word.trim_end());
            if used > 0 && used + wide > limit && wide <= rest {
                rows.push(std::mem::take(&mut row));
                used = 0;
            }
            for grapheme in word.graphemes(true) {
                let limit = if rows.is_empty() { first } else { rest }.max(1);
                let wide = width(grapheme);
                if used > 0 && used + wide > limit {
                    rows.push(std::mem::take(&mut row));
                    used = 0;
                    if grapheme == " " {
                        continue;
                    }
                }
                row.push_str(grapheme);
                used += wide;
            }
        }
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_where_they_fit() {
        assert_eq!(rows("one two three", 8, 8), ["one two ", "three"]);
        assert_eq!(rows("one two", 3, 9), ["one", "two"]);
        assert_eq!(rows("abcdefghij", 4, 4), ["abcd", "efgh", "ij"]);
        assert_eq!(rows("a\n\nb", 9, 9), ["a", "", "b"]);
        assert_eq!(rows("", 9, 9), [""]);
    }

    #[test]
    fn wide_characters_take_two_columns_and_are_never_cut() {
        assert_eq!(width("안녕"), 4);
        assert_eq!(rows("안녕하세요", 5, 5), ["안녕", "하세", "요"]);
        assert_eq!(rows("👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 3, 3), ["👩‍👩‍👧‍👦", "👩‍👩‍👧‍👦"]);
        assert_eq!(rows("e\u{301}e\u{301}e\u{301}", 2, 2), ["e\u{301}e\u{301}", "e\u{301}"]);
    }

    #[test]
    fn no_row_is_wider_than_its_limit() {
        let text = "가나다 abc 👍🏽 정말 긴 문장입니다 e\u{301}tude 日本語テキスト end";
        for limit in 2..30 {
            for row in rows(text, limit, limit) {
                assert!(width(row.trim_end()) <= limit, "{limit}: {row:?}");
            }
        }
        assert_eq!(rows("가", 0, 0), ["가"]);
    }
}
