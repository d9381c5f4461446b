//! Draws the screen: a title, the transcript, a line for questions, the input.

use super::state::{Look, Screen};
use super::wrap;
use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use twocan_conversation::{Body, Entry, Tick};

/// Most rows of the input that are seen at once.
const INPUT_ROWS: usize = 5;

/// Columns of a time and the space behind it.
const TIME: usize = 6;

const PROMPT: &str = "> ";

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &mut Screen<'_>) {
    let area = frame.area();
    let columns = usize::from(area.width);
    screen.columns = columns;
    screen.input_columns = columns.saturating_sub(PROMPT.len()).max(1);
    let input = screen.editor.layout(screen.input_columns);
    let input_rows = input.rows.len().min(INPUT_ROWS) as u16;
    let [title, transcript, status, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(input_rows),
    ])
    .areas(area);
    screen.height = usize::from(transcript.height);

    frame.render_widget(Paragraph::new(title_line(screen)), title);
    let rows = visible(screen, usize::from(transcript.height));
    let top = transcript.height.saturating_sub(rows.len() as u16);
    let window = Rect { y: transcript.y + top, height: transcript.height - top, ..transcript };
    frame.render_widget(Paragraph::new(rows), window);
    frame.render_widget(Paragraph::new(status_line(screen)), status);
    draw_input(frame, &input, bottom);
}

fn draw_input(frame: &mut Frame<'_>, input: &super::editor::Layout, area: Rect) {
    let height = usize::from(area.height).max(1);
    let (row, column) = input.caret;
    let first = (row + 1).saturating_sub(height);
    let rows: Vec<Line<'_>> = input
        .rows
        .iter()
        .enumerate()
        .skip(first)
        .take(height)
        .map(|(i, text)| Line::raw(format!("{}{text}", if i == 0 { PROMPT } else { "  " })))
        .collect();
    frame.render_widget(Paragraph::new(rows), area);
    let x = area.x + (PROMPT.len() + column) as u16;
    let y = area.y + (row - first) as u16;
    let inside = |p: u16, start: u16, len: u16| p.min(start + len.saturating_sub(1));
    frame.set_cursor_position(Position {
        x: inside(x, area.x, area.width),
        y: inside(y, area.y, area.height),
    });
}

fn title_line(screen: &Screen<'_>) -> Line<'static> {
    let talk = &screen.talk;
    let state = match talk.peer() {
        Some(_) => format!("with {}", talk.other_nick()),
        None => "waiting for the other side".to_owned(),
    };
    let text = format!(" {} \u{2014} {state}", talk.name());
    let fill = screen.columns.saturating_sub(wrap::width(&text));
    Line::styled(
        format!("{text}{}", " ".repeat(fill)),
        Style::new().add_modifier(Modifier::REVERSED),
    )
}

fn status_line(screen: &Screen<'_>) -> Line<'static> {
    if let Some(paste) = &screen.paste {
        let lines = paste.trim_end().lines().count();
        let text =
            format!("Insert the {lines} lines you pasted? y inserts, any other key drops them.");
        return Line::styled(text, Style::new().add_modifier(Modifier::BOLD));
    }
    if screen.scrolled > 0 {
        let text = match screen.new_below {
            0 => "PgDn goes down, Esc to the end".to_owned(),
            n => format!("\u{2193} {n} new below (Esc)"),
        };
        return Line::styled(text, Style::new().add_modifier(Modifier::BOLD));
    }
    let rule = "\u{2500}".repeat(screen.columns);
    Line::styled(rule, Style::new().add_modifier(Modifier::DIM))
}

/// The rows in the window. Wraps from the newest entry up, and no further than needed.
fn visible(screen: &mut Screen<'_>, height: usize) -> Vec<Line<'static>> {
    let wanted = height + screen.scrolled;
    let mut upwards: Vec<Line<'static>> = Vec::new();
    for entry in screen.talk.entries().rev() {
        upwards.extend(entry_rows(entry, screen.columns, &screen.look).into_iter().rev());
        if upwards.len() >= wanted {
            break;
        }
    }
    screen.scrolled = screen.scrolled.min(upwards.len().saturating_sub(height));
    if screen.scrolled == 0 {
        screen.new_below = 0;
    }
    let mut rows: Vec<_> = upwards.into_iter().skip(screen.scrolled).take(height).collect();
    rows.reverse();
    rows
}

/// One entry as rows: the time, who, what; further rows indented below the text.
pub(super) fn entry_rows(entry: &Entry, columns: usize, look: &Look) -> Vec<Line<'static>> {
    let dim = Style::new().add_modifier(Modifier::DIM);
    let (who, style, text) = match &entry.body {
        Body::Mine { nick, text, tick } => {
            (format!("{nick}: "), nick_style(look, Color::Cyan), format!("{text}{}", mark(*tick)))
        }
        Body::Theirs { nick, text } => {
            (format!("{nick}: "), nick_style(look, Color::Green), text.clone())
        }
        Body::Notice(notice) => ("* ".to_owned(), notice_style(look), notice.to_string()),
    };
    let is_notice = matches!(entry.body, Body::Notice(_));
    let head = TIME + wrap::width(&who);
    let indent = if is_notice { head } else { TIME + 2 };
    let rows =
        wrap::rows(&text, columns.saturating_sub(head), columns.saturating_sub(indent).max(1));
    let text_style = if is_notice { notice_style(look) } else { Style::new() };
    rows.into_iter()
        .enumerate()
        .map(|(i, row)| {
            if i == 0 {
                Line::from(vec![
                    Span::styled(format!("{} ", clock(entry.at_ms, look)), dim),
                    Span::styled(who.clone(), style),
                    Span::styled(row, text_style),
                ])
            } else {
                Line::from(vec![Span::raw(" ".repeat(indent)), Span::styled(row, text_style)])
            }
        })
        .collect()
}

fn nick_style(look: &Look, colour: Color) -> Style {
    let style = Style::new().add_modifier(Modifier::BOLD);
    if look.colour { style.fg(colour) } else { style }
}

fn notice_style(look: &Look) -> Style {
    let style = Style::new().add_modifier(Modifier::ITALIC);
    if look.colour { style.fg(Color::Yellow) } else { style }
}

/// How far a text of mine has come. One column for each step, so nothing moves when it changes.
fn mark(tick: Tick) -> &'static str {
    match tick {
        Tick::Waiting => " \u{2026}",
        Tick::Sent => " \u{2713}",
        Tick::Delivered => " \u{2713}\u{2713}",
        Tick::Refused => " \u{2717}",
    }
}

/// HH:MM in the local time zone. A peer may claim any time; what is none is shown as such.
fn clock(at_ms: i64, look: &Look) -> String {
    match Timestamp::from_millisecond(at_ms) {
        Ok(at) => at.to_zoned(look.zone.clone()).strftime("%H:%M").to_string(),
        Err(_) => "--:--".to_owned(),
    }
}
