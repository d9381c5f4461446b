//! What the screen shows and how keys change it. No terminal here: events in, effects out.

use super::super::{HELP, Typed, typed, unknown};
use super::draw;
use super::editor::Editor;
use jiff::tz::TimeZone;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use twocan_conversation::{Conversation, Effect, EntryId, clean_text};

/// A paste of more lines is asked about.
pub(super) const PASTE_LINES: usize = 5;

/// How things look.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// Colours may be used.
    pub(super) colour: bool,
    /// For the times of messages.
    pub(super) zone: TimeZone,
}

/// Everything that is on the screen.
#[derive(Debug)]
pub(super) struct Screen<'a> {
    pub(super) talk: &'a mut Conversation,
    pub(super) look: Look,
    pub(super) editor: Editor,
    /// Rows between the bottom of the transcript and the bottom of the window onto it.
    pub(super) scrolled: usize,
    /// Entries that came while scrolled up.
    pub(super) new_below: usize,
    /// A long paste that waits for an answer.
    pub(super) paste: Option<String>,
    /// Columns, rows of the transcript's window, and columns of the input, as drawn last.
    pub(super) columns: usize,
    pub(super) height: usize,
    pub(super) input_columns: usize,
    /// The person wants to leave.
    pub(super) leaves: bool,
}

impl<'a> Screen<'a> {
    pub(super) fn new(talk: &'a mut Conversation, look: Look) -> Screen<'a> {
        Screen {
            talk,
            look,
            editor: Editor::default(),
            scrolled: 0,
            new_below: 0,
            paste: None,
            columns: 80,
            height: 20,
            input_columns: 78,
            leaves: false,
        }
    }

    /// A new entry. While scrolled up, what is being read stays where it is.
    pub(super) fn appeared(&mut self, id: EntryId) {
        if self.scrolled > 0
            && let Some(entry) = self.talk.entry(id)
        {
            self.scrolled += draw::entry_rows(entry, self.columns, &self.look).len();
            self.new_below += 1;
        }
    }

    /// A key, a paste, a new size.
    pub(super) fn terminal_event(&mut self, event: Event, now_ms: i64) -> Vec<Effect> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(key, now_ms),
            Event::Paste(text) => {
                let text = clean_text(&text);
                if text.trim_end().lines().count() > PASTE_LINES {
                    self.paste = Some(text);
                } else {
                    self.editor.insert(&text);
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn key(&mut self, key: KeyEvent, now_ms: i64) -> Vec<Effect> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            self.leaves = true;
            return Vec::new();
        }
        if let Some(text) = self.paste.take() {
            if matches!(key.code, KeyCode::Char('y' | 'Y')) {
                self.editor.insert(&text);
            }
            return Vec::new();
        }
        if control {
            self.control_key(key.code);
            return Vec::new();
        }
        let new_line = key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SHIFT);
        match key.code {
            KeyCode::Enter if new_line => self.editor.insert("\n"),
            KeyCode::Enter => return self.enter(now_ms),
            KeyCode::Char('b') if key.modifiers == KeyModifiers::ALT => self.editor.word_left(),
            KeyCode::Char('f') if key.modifiers == KeyModifiers::ALT => self.editor.word_right(),
            KeyCode::Char(c) if key.modifiers != KeyModifiers::ALT => {
                self.editor.insert(c.encode_utf8(&mut [0; 4]));
            }
            KeyCode::Tab => self.editor.insert("    "),
            KeyCode::Backspace => self.editor.backspace(),
            KeyCode::Delete => self.editor.delete(),
            KeyCode::Left => self.editor.left(),
            KeyCode::Right => self.editor.right(),
            KeyCode::Home => self.editor.home(),
            KeyCode::End => self.editor.end(),
            KeyCode::Up => self.editor.up(self.input_columns),
            KeyCode::Down => self.editor.down(self.input_columns),
            KeyCode::PageUp => self.scroll_up(),
            KeyCode::PageDown => self.scroll_down(),
            KeyCode::Esc => self.scroll_to_bottom(),
            _ => {}
        }
        Vec::new()
    }

    fn control_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char('d') if self.editor.is_empty() => self.leaves = true,
            KeyCode::Char('d') => self.editor.delete(),
            KeyCode::Char('j') => self.editor.insert("\n"),
            KeyCode::Char('a') | KeyCode::Home => self.editor.home(),
            KeyCode::Char('e') | KeyCode::End => self.editor.end(),
            KeyCode::Char('b') => self.editor.left(),
            KeyCode::Char('f') => self.editor.right(),
            KeyCode::Char('h') => self.editor.backspace(),
            KeyCode::Char('w') | KeyCode::Backspace => self.editor.delete_word(),
            KeyCode::Char('u') => self.editor.delete_to_line_start(),
            KeyCode::Char('k') => self.editor.delete_to_line_end(),
            KeyCode::Left => self.editor.word_left(),
            KeyCode::Right => self.editor.word_right(),
            _ => {}
        }
    }

    fn enter(&mut self, now_ms: i64) -> Vec<Effect> {
        let text = self.editor.take();
        self.scroll_to_bottom();
        match typed(&text) {
            Typed::Say(text) => self.talk.say(text, now_ms),
            Typed::Help => HELP.iter().flat_map(|line| self.talk.tell(line, now_ms)).collect(),
            Typed::Quit => {
                self.leaves = true;
                Vec::new()
            }
            Typed::Unknown(word) => {
                // The text may be a mistake worth keeping.
                self.editor.clear();
                self.editor.insert(&text);
                self.talk.tell(&unknown(word), now_ms)
            }
        }
    }

    fn scroll_up(&mut self) {
        // One row stays for the eye. Drawing limits it to what there is.
        self.scrolled += self.height.saturating_sub(1).max(1);
    }

    fn scroll_down(&mut self) {
        self.scrolled = self.scrolled.saturating_sub(self.height.saturating_sub(1).max(1));
        if self.scrolled == 0 {
            self.new_below = 0;
        }
    }

    fn scroll_to_bottom(&mut self) {
        self.scrolled = 0;
        self.new_below = 0;
    }
}
