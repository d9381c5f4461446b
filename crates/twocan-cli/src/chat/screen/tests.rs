//! The screen drawn to a backend that can be looked at.

use super::draw::draw;
use super::state::{Look, Screen};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event as Key, KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Position;
use twocan_conversation::{Conversation, Effect, Event, MessageId, Peer, encode_text};

/// 1970-01-01 14:03 UTC.
const NOW: i64 = (14 * 60 + 3) * 60_000;

struct Rig<'a> {
    screen: Screen<'a>,
    terminal: Terminal<TestBackend>,
    position: u64,
}

impl<'a> Rig<'a> {
    fn new(talk: &'a mut Conversation, columns: u16, rows: u16) -> Rig<'a> {
        let look = Look { colour: true, zone: TimeZone::UTC };
        let terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let mut rig = Rig { screen: Screen::new(talk, look), terminal, position: 0 };
        rig.draw();
        rig
    }

    fn draw(&mut self) -> Vec<String> {
        self.terminal.draw(|frame| draw(frame, &mut self.screen)).unwrap();
        let buffer = self.terminal.backend().buffer().clone();
        let width = usize::from(buffer.area.width);
        buffer
            .content
            .chunks(width)
            .map(|row| {
                // A wide character is followed by a blank cell that is not seen.
                let mut text = String::new();
                let mut skip = 0;
                for cell in row {
                    if skip > 0 {
                        skip -= 1;
                        continue;
                    }
                    text.push_str(cell.symbol());
                    skip = super::wrap::width(cell.symbol()).saturating_sub(1);
                }
                text.trim_end().to_owned()
            })
            .collect()
    }

    fn act(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Show(id) = effect {
                self.screen.appeared(*id);
            }
        }
    }

    fn feed(&mut self, event: Event) {
        let effects = self.screen.talk.feed(event, NOW);
        self.act(&effects);
    }

    fn bob_joins(&mut self) {
        self.feed(Event::Joined(Peer { nick: "bob".into(), pid: Some(4190) }));
    }

    fn bob_says(&mut self, text: &str) {
        self.position += 64;
        let id = MessageId { region: 1, position: self.position };
        self.feed(Event::Message { id, bytes: encode_text("bob", NOW - 60_000, text) });
    }

    fn key(&mut self, code: KeyCode) -> Vec<Effect> {
        self.chord(code, KeyModifiers::NONE)
    }

    fn chord(&mut self, code: KeyCode, modifiers: KeyModifiers) -> Vec<Effect> {
        let effects = self.screen.terminal_event(Key::Key(KeyEvent::new(code, modifiers)), NOW);
        self.act(&effects);
        effects
    }

    fn write(&mut self, text: &str) {
        for c in text.chars() {
            self.key(KeyCode::Char(c));
        }
    }

    fn paste(&mut self, text: &str) -> Vec<Effect> {
        self.screen.terminal_event(Key::Paste(text.to_owned()), NOW)
    }

    fn cursor(&mut self) -> (u16, u16) {
        let Position { x, y } = self.terminal.get_cursor_position().unwrap();
        (x, y)
    }
}

fn alice() -> Conversation {
    Conversation::new("cat", "alice")
}

#[test]
fn the_first_screen() {
    let mut talk = alice();
    let mut rig = Rig::new(&mut talk, 60, 8);
    let effects = rig.screen.talk.begin(NOW);
    rig.act(&effects);
    assert_eq!(
        rig.draw(),
        [
            " cat — waiting for the other side",
            "",
            "",
            "14:03 * cat: waiting for the other side. In another",
            "        terminal: twocan chat cat",
            "14:03 * (you are alice; /help for commands, Ctrl-D to leave)",
            &"─".repeat(60),
            ">",
        ]
    );
    assert_eq!(rig.cursor(), (2, 7));
}

#[test]
fn messages_have_nick_time_of_sending_and_true_ticks() {
    let mut talk = alice();
    let mut rig = Rig::new(&mut talk, 60, 7);
    rig.bob_joins();
    rig.write("안녕 bob");
    assert_eq!(rig.draw()[6], "> 안녕 bob");
    assert_eq!(rig.cursor(), (2 + 8, 6), "Korean takes two columns each");
    let effects = rig.key(KeyCode::Enter);
    let Some(Effect::Send { entry, .. }) = effects.last() else { panic!("{effects:?}") };
    rig.bob_says("밤이에요");
    let rows = rig.draw();
    assert_eq!(rows[0], " cat — with bob");
    assert_eq!(rows[2], "14:03 * bob joined (pid 4190).");
    assert_eq!(rows[3], "14:03 alice: 안녕 bob …");
    assert_eq!(rows[4], "14:02 bob: 밤이에요");
    assert_eq!(rows[6], ">");
    rig.feed(Event::Accepted(*entry));
    assert_eq!(rig.draw()[3], "14:03 alice: 안녕 bob ✓");
    rig.feed(Event::Delivered(*entry));
    assert_eq!(rig.draw()[3], "14:03 alice: 안녕 bob ✓✓");
}

#[test]
fn the_caret_is_where_the_next_character_goes() {
    let mut talk = alice();
    let mut rig = Rig::new(&mut talk, 20, 8);
    rig.write("가👍🏽e\u{301}");
    rig.draw();
    assert_eq!(rig.cursor(), (2 + 2 + 2 + 1, 7));
    rig.key(KeyCode::Left);
    rig.key(KeyCode::Left);
    rig.draw();
    assert_eq!(rig.cursor(), (2 + 2, 7));
    rig.key(KeyCode::End);
    rig.write("abcdefghijklmnop");
    let rows = rig.draw();
    assert_eq!(rows[6], "> 가👍🏽e\u{301}abcdefghijklm");
    assert_eq!(rows[7], "  nop");
    assert_eq!(rig.cursor(), (5, 7));
    rig.chord(KeyCode::Char('u'), KeyModifiers::CONTROL);
    rig.draw();
    assert_eq!(rig.cursor(), (2, 7));
}

#[test]
fn a_paste_is_inserted_and_not_sent() {
    let mut talk = alice();
    let mut rig = Rig::new(&mut talk, 40, 12);
    assert!(rig.paste("one\r\ntwo\x1b[31m\n").is_empty());
    let rows = rig.draw();
    assert_eq!(rows[9], "> one");
    assert_eq!(rows[10], "  two␛[31m");
    assert_eq!(rig.cursor(), (2, 11));
    assert_eq!(rig.screen.talk.entries().len(), 0);
    let effects = rig.key(KeyCode::Enter);
    assert!(matches!(effects[..], [Effect::Show(_), Effect::Send { .. }, ..]));
    let rows = rig.draw();
    assert_eq!(rows[5], "14:03 alice: one", "{rows:#?}");
    assert_eq!(rows[6], "        two␛[31m …", "{rows:#?}");
}

#[test]
fn a_long_paste_is_asked_about() {
    let long = "a\nb\nc\nd\ne\nf\ng";
    let mut talk = alice();
    let mut rig = Rig::new(&mut talk, 80, 12);
    rig.paste(long);
    let question = "Insert the 7 lines you pasted? y inserts, any other key drops them.";
    assert_eq!(rig.draw()[10], question);
    rig.key(KeyCode::Char('n'));
    assert!(rig.screen.editor.is_empty());
    rig.paste(long);
    rig.key(KeyCode::Char('y'));
    assert_eq!(rig.screen.editor.text(), long);
    let rows = rig.draw();
    assert_eq!(rows[7..], ["  c", "  d", "  e", "  f", "  g"], "the caret's end is seen");
    assert_eq!(rig.cursor(), (3, 11));
}

#[test]
fn scrolling_up_keeps_the_place_and_counts_what_comes() {
    let mut talk = alice();
    let mut rig = Rig::new(&mut talk, 40, 8);
    rig.bob_joins();
    for n in 1..=30 {
        rig.bob_says(&format!("line {n}"));
    }
    assert_eq!(rig.draw()[5], "14:02 bob: line 30");
    rig.key(KeyCode::PageUp);
    let before = rig.draw();
    assert_eq!(before[1], "14:02 bob: line 22");
    assert_eq!(before[6], "PgDn goes down, Esc to the end");
    rig.bob_says("a line so long that it needs a second row");
    rig.bob_says("line 32");
    let after = rig.draw();
    assert_eq!(before[1..6], after[1..6], "what is being read does not move");
    assert_eq!(after[6], "↓ 2 new below (Esc)");
    rig.key(KeyCode::Esc);
    assert_eq!(rig.draw()[5], "14:02 bob: line 32");
    for _ in 0..50 {
        rig.key(KeyCode::PageUp);
        rig.draw();
    }
    assert_eq!(rig.draw()[1], "14:03 * bob joined (pid 4190).", "the top is the end of it");
    for _ in 0..50 {
        rig.key(KeyCode::PageDown);
    }
    assert_eq!(rig.draw()[5], "14:02 bob: line 32");
    assert_eq!(rig.screen.new_below, 0);
}

#[test]
fn ctrl_d_leaves_only_an_empty_input_and_ctrl_c_always() {
    let mut talk = alice();
    let mut rig = Rig::new(&mut talk, 40, 8);
    rig.write("x");
    rig.key(KeyCode::Left);
    rig.chord(KeyCode::Char('d'), KeyModifiers::CONTROL);
    assert!(!rig.screen.leaves && rig.screen.editor.is_empty());
    rig.chord(KeyCode::Char('d'), KeyModifiers::CONTROL);
    assert!(rig.screen.leaves);
    let mut talk = alice();
    let mut rig = Rig::new(&mut talk, 40, 8);
    rig.paste("1\n2\n3\n4\n5\n6");
    rig.chord(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(rig.screen.leaves);
}

#[test]
fn slash_commands() {
    let mut talk = alice();
    let mut rig = Rig::new(&mut talk, 100, 12);
    rig.write("/help");
    rig.key(KeyCode::Enter);
    assert!(rig.draw().iter().any(|row| row.contains("/quit (or Ctrl-D, Ctrl-C) leaves")));
    rig.write("/hepl");
    rig.key(KeyCode::Enter);
    let rows = rig.draw();
    assert_eq!(rows[9], "14:03 * there is no command /hepl; /help lists them. To say it: //hepl");
    assert_eq!(rows[11], "> /hepl", "what was written is not lost");
    rig.chord(KeyCode::Char('u'), KeyModifiers::CONTROL);
    rig.write("/quit");
    rig.key(KeyCode::Enter);
    assert!(rig.screen.leaves);
}

#[test]
fn a_peers_any_time_and_any_window_are_survived() {
    let mut talk = alice();
    let mut rig = Rig::new(&mut talk, 40, 8);
    for (position, at) in (1..).zip([i64::MIN, i64::MAX, -1, 253_402_300_800_000]) {
        let id = MessageId { region: 9, position };
        rig.feed(Event::Message { id, bytes: encode_text("bob", at, "when?") });
    }
    let rows = rig.draw();
    assert_eq!(rows[2], "--:-- bob: when?");
    assert_eq!(rows[4], "23:59 bob: when?");
    rig.write("안녕하세요");
    for (columns, rows) in [(1, 1), (2, 3), (3, 2), (7, 4), (300, 100)] {
        rig.terminal.backend_mut().resize(columns, rows);
        rig.draw();
        rig.key(KeyCode::PageUp);
        rig.draw();
    }
}

#[test]
fn a_burst_takes_so_many_and_loses_none() {
    let (sender, queue) = std::sync::mpsc::channel();
    (0..super::BURST * 2 + 10).for_each(|n| sender.send(n).unwrap());
    let mut seen = Vec::new();
    while let Ok(first) = queue.try_recv() {
        let before = seen.len();
        seen.extend(super::burst(first, &queue));
        assert!(seen.len() - before <= super::BURST);
    }
    assert_eq!(seen, (0..super::BURST * 2 + 10).collect::<Vec<_>>());
}
