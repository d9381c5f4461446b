//! The text being written: a caret that moves over what a person sees as one character, lines, and
//! a history.

use super::wrap::width;
use twocan_conversation::{MAX_TEXT, cut};
use unicode_segmentation::UnicodeSegmentation;

/// Texts that Up brings back.
const MAX_HISTORY: usize = 200;

/// The input of the chat. The caret always stands between two graphemes.
#[derive(Debug, Default)]
pub(super) struct Editor {
    text: String,
    /// Byte index of the caret.
    caret: usize,
    history: Vec<String>,
    /// Which text of the history is shown; `None` = the one being written.
    recalled: Option<usize>,
    /// What was being written before the history was looked at.
    draft: String,
}

/// The text as rows on the screen, and where the caret is among them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) rows: Vec<String>,
    /// Row and column, from 0.
    pub(super) caret: (usize, usize),
}

impl Editor {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Inserts at the caret, as much as a message can hold.
    pub(super) fn insert(&mut self, text: &str) {
        let room = MAX_TEXT.saturating_sub(self.text.len());
        let text = cut(text, room);
        self.text.insert_str(self.caret, text);
        // A combining mark joins what stands before it; the caret goes behind the whole.
        self.caret = self.boundary_at_or_after(self.caret + text.len());
        self.recalled = None;
    }

    /// Gives the text away and remembers it.
    pub(super) fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        self.caret = 0;
        self.recalled = None;
        self.draft.clear();
        if !text.trim().is_empty() && self.history.last() != Some(&text) {
            if self.history.len() == MAX_HISTORY {
                self.history.remove(0);
            }
            self.history.push(text.clone());
        }
        text
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.caret = 0;
        self.recalled = None;
    }

    pub(super) fn backspace(&mut self) {
        self.remove(self.before(self.caret)..self.caret);
    }

    pub(super) fn delete(&mut self) {
        self.remove(self.caret..self.after(self.caret));
    }

    pub(super) fn delete_word(&mut self) {
        self.remove(self.word_start()..self.caret);
    }

    pub(super) fn delete_to_line_start(&mut self) {
        self.remove(self.line_start()..self.caret);
    }

    pub(super) fn delete_to_line_end(&mut self) {
        self.remove(self.caret..self.line_end());
    }

    pub(super) fn left(&mut self) {
        self.caret = self.before(self.caret);
    }

    pub(super) fn right(&mut self) {
        self.caret = self.after(self.caret);
    }

    pub(super) fn word_left(&mut self) {
        self.caret = self.word_start();
    }

    pub(super) fn word_right(&mut self) {
        let rest = &self.text[self.caret..];
        let skipped = rest.len() - rest.trim_start().len();
        let word = rest[skipped..].find(char::is_whitespace).unwrap_or(rest.len() - skipped);
        self.caret = self.boundary_at_or_after(self.caret + skipped + word);
    }

    pub(super) fn home(&mut self) {
        self.caret = self.line_start();
    }

    pub(super) fn end(&mut self) {
        self.caret = self.line_end();
    }

    /// To the row above; from the first row, to the text sent before.
    pub(super) fn up(&mut self, columns: usize) {
        let layout = self.layout(columns);
        if layout.caret.0 > 0 {
            self.caret = self.at(columns, layout.caret.0 - 1, layout.caret.1);
            return;
        }
        let next = self.recalled.map_or(self.history.len(), |i| i);
        if next > 0 {
            self.recall(Some(next - 1));
        }
    }

    /// To the row below; from the last row, to the text sent after, and to the one being written.
    pub(super) fn down(&mut self, columns: usize) {
        let layout = self.layout(columns);
        if layout.caret.0 + 1 < layout.rows.len() {
            self.caret = self.at(columns, layout.caret.0 + 1, layout.caret.1);
            return;
        }
        match self.recalled {
            Some(i) if i + 1 < self.history.len() => self.recall(Some(i + 1)),
            Some(_) => self.recall(None),
            None => {}
        }
    }

    fn recall(&mut self, index: Option<usize>) {
        if self.recalled.is_none() {
            self.draft.clone_from(&self.text);
        }
        let text = match index {
            Some(i) => self.history[i].clone(),
            None => std::mem::take(&mut self.draft),
        };
        self.caret = text.len();
        self.text = text;
        self.recalled = index;
    }

    /// The text in rows of at most `columns`, broken between graphemes. The caret needs a column
    /// too, so a caret behind a full row stands at the start of the next.
    pub(super) fn layout(&self, columns: usize) -> Layout {
        let mut layout = Layout { rows: vec![String::new()], caret: (0, 0) };
        let mut used = 0;
        let columns = columns.max(1);
        let mut place = |rows: &mut Vec<String>, grapheme: &str| {
            let wide = width(grapheme);
            if grapheme == "\n" || (used > 0 && used + wide > columns) {
                rows.push(String::new());
                used = 0;
            }
            let here = (rows.len() - 1, used);
            if grapheme != "\n" {
                if let Some(row) = rows.last_mut() {
                    row.push_str(grapheme);
                }
                used += wide;
            }
            (here, used)
        };
        let mut used_after = 0;
        for (index, grapheme) in self.text.grapheme_indices(true) {
            let (here, used) = place(&mut layout.rows, grapheme);
            used_after = used;
            if index < self.caret {
                layout.caret = (here.0, if grapheme == "\n" { 0 } else { used });
            } else if index == self.caret && grapheme != "\n" {
                layout.caret = here;
            }
        }
        if self.caret == self.text.len() {
            layout.caret = (layout.rows.len() - 1, used_after);
        }
        if layout.caret.1 >= columns {
            if layout.caret.0 + 1 == layout.rows.len() {
                layout.rows.push(String::new());
            }
            layout.caret = (layout.caret.0 + 1, 0);
        }
        layout
    }

    /// The caret position nearest to a row and column.
    fn at(&self, columns: usize, row: usize, column: usize) -> usize {
        let mut probe = Editor { text: self.text.clone(), ..Editor::default() };
        let mut best = (usize::MAX, self.caret);
        let ends = self.text.grapheme_indices(true).map(|(i, _)| i).chain([self.text.len()]);
        for caret in ends {
            probe.caret = caret;
            let at = probe.layout(columns).caret;
            if at.0 == row && at.1.abs_diff(column) < best.0 {
                best = (at.1.abs_diff(column), caret);
            }
        }
        best.1
    }

    fn remove(&mut self, range: std::ops::Range<usize>) {
        self.caret = range.start;
        self.text.replace_range(range, "");
        // What is left and right of the gap may have become one grapheme.
        self.caret = self.boundary_at_or_after(self.caret);
        self.recalled = None;
    }

    fn before(&self, index: usize) -> usize {
        let start = self.text[..index].grapheme_indices(true).next_back();
        start.map_or(0, |(i, _)| i)
    }

    fn after(&self, index: usize) -> usize {
        let rest = &self.text[index..];
        index + rest.graphemes(true).next().map_or(0, str::len)
    }

    fn boundary_at_or_after(&self, index: usize) -> usize {
        let mut starts = self.text.grapheme_indices(true).map(|(i, _)| i);
        starts.find(|i| *i >= index).unwrap_or(self.text.len())
    }

    fn word_start(&self) -> usize {
        let head = self.text[..self.caret].trim_end();
        head.rfind(char::is_whitespace)
            .map_or(0, |i| i + head[i..].chars().next().map_or(0, char::len_utf8))
    }

    fn line_start(&self) -> usize {
        self.text[..self.caret].rfind('\n').map_or(0, |i| i + 1)
    }

    fn line_end(&self) -> usize {
        self.text[self.caret..].find('\n').map_or(self.text.len(), |i| self.caret + i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Editor {
        let mut editor = Editor::default();
        editor.insert(text);
        editor
    }

    #[test]
    fn the_caret_moves_over_whole_characters() {
        let mut editor = with("한👩‍👩‍👧‍👦e\u{301}");
        editor.left();
        editor.left();
        editor.insert("x");
        assert_eq!(editor.text(), "한x👩‍👩‍👧‍👦e\u{301}");
        editor.delete();
        assert_eq!(editor.text(), "한xe\u{301}");
        editor.end();
        editor.backspace();
        assert_eq!(editor.text(), "한x");
        editor.backspace();
        editor.backspace();
        editor.backspace();
        assert!(editor.is_empty());
    }

    #[test]
    fn a_mark_typed_behind_a_letter_joins_it() {
        let mut editor = with("e");
        editor.insert("\u{301}");
        assert_eq!(editor.layout(10), Layout { rows: vec!["e\u{301}".into()], caret: (0, 1) });
        editor.backspace();
        assert!(editor.is_empty());
    }

    #[test]
    fn the_layout_counts_columns() {
        let editor = with("안녕 hi");
        assert_eq!(editor.layout(20).caret, (0, 7));
        let narrow = editor.layout(5);
        assert_eq!(narrow.rows, ["안녕 ", "hi"]);
        assert_eq!(narrow.caret, (1, 2));
    }

    #[test]
    fn a_caret_behind_a_full_row_stands_on_the_next() {
        let mut editor = with("abcd");
        assert_eq!(editor.layout(4).caret, (1, 0));
        assert_eq!(editor.layout(4).rows, ["abcd", ""]);
        editor.insert("ef");
        editor.left();
        editor.left();
        assert_eq!(
            editor.layout(4),
            Layout { rows: vec!["abcd".into(), "ef".into()], caret: (1, 0) }
        );
    }

    #[test]
    fn lines_and_rows() {
        let mut editor = with("one\ntwo\n");
        assert_eq!(editor.layout(10).caret, (2, 0));
        editor.up(10);
        assert_eq!(editor.layout(10).caret, (1, 0));
        editor.end();
        assert_eq!(editor.layout(10).caret, (1, 3));
        editor.up(10);
        assert_eq!(editor.layout(10).caret, (0, 3));
        editor.home();
        editor.delete_to_line_end();
        assert_eq!(editor.text(), "\ntwo\n");
    }

    #[test]
    fn words() {
        let mut editor = with("하나 둘  three");
        editor.delete_word();
        assert_eq!(editor.text(), "하나 둘  ");
        editor.delete_word();
        assert_eq!(editor.text(), "하나 ");
        editor.word_left();
        editor.word_right();
        editor.insert("!");
        assert_eq!(editor.text(), "하나! ");
        editor.delete_to_line_start();
        assert_eq!(editor.text(), " ");
    }

    #[test]
    fn the_history_gives_the_draft_back() {
        let mut editor = with("first");
        editor.take();
        editor.insert("second");
        editor.take();
        editor.insert("dra");
        editor.up(20);
        editor.up(20);
        assert_eq!(editor.text(), "first");
        editor.up(20);
        assert_eq!(editor.text(), "first");
        editor.down(20);
        assert_eq!(editor.text(), "second");
        editor.down(20);
        assert_eq!(editor.text(), "dra");
        editor.down(20);
        assert_eq!(editor.text(), "dra");
    }

    #[test]
    fn the_text_is_bounded() {
        let mut editor = with(&"가".repeat(MAX_TEXT));
        assert!(editor.text().len() <= MAX_TEXT);
        editor.insert("나");
        assert!(editor.text().len() <= MAX_TEXT);
    }
}
