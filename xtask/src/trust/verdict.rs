//! What came of a row, read from the lines that its tests printed.
//!
//! `trust: KEY: FIGURE` says that the promise held; `trust: KEY: skipped: REASON` that it, or a
//! part of it, could not be tried here. A test that finds that a promise is broken fails, and says
//! neither.

use std::fmt;

/// What came of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Held(String),
    /// Some of it held, and some could not be tried: the figure, and the reasons.
    InPart(String, Vec<String>),
    /// Nothing could be tried; why.
    Skipped(String),
    /// It failed, hung, or said nothing.
    NotHeld(String),
}

impl Verdict {
    /// Of a row with one key: figure and reasons.
    pub(super) fn of_one(text: &str, key: &str) -> Verdict {
        let reasons = reasons(text, key);
        match figure(text, key) {
            Some(figure) if reasons.is_empty() => Verdict::Held(figure),
            Some(figure) => Verdict::InPart(figure, reasons),
            None if reasons.is_empty() => Verdict::NotHeld("it printed no figure".to_owned()),
            None => Verdict::Skipped(reasons.join("; ")),
        }
    }

    /// Of a row that tells a story under each of the keys. One that is not told has not held.
    pub(super) fn of_stories(text: &str, keys: &[&str]) -> Verdict {
        let (mut held, mut count, mut untold) = (String::new(), 0, Vec::new());
        // Each reason with the stories that it concerns.
        let mut skipped: Vec<(String, Vec<&str>)> = Vec::new();
        for key in keys {
            let (figure, reasons) = (figure(text, key), reasons(text, key));
            if figure.is_none() && reasons.is_empty() {
                untold.push(*key);
            }
            if let Some(figure) = figure {
                count += 1;
                held += &format!("\n{INDENT}{key}: {figure}");
            }
            for why in reasons {
                match skipped.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, keys)) => keys.push(key),
                    None => skipped.push((why, vec![key])),
                }
            }
        }
        if !untold.is_empty() {
            return Verdict::NotHeld(format!("nothing was said of {}", untold.join(", ")));
        }
        let all = keys.len();
        let why = |(why, keys): &(String, Vec<&str>)| match keys.len() {
            n if n == all => why.clone(),
            _ => format!("{}: {why}", keys.join(", ")),
        };
        let skipped: Vec<String> = skipped.iter().map(why).collect();
        match (count, skipped.is_empty()) {
            (0, _) => Verdict::Skipped(skipped.join("; ")),
            (_, true) => Verdict::Held(format!("{count} stories{held}")),
            (_, false) => Verdict::InPart(format!("{count} of {all} stories{held}"), skipped),
        }
    }

    pub(super) fn word(&self) -> &'static str {
        match self {
            Verdict::Held(_) => "held",
            Verdict::InPart(..) => "in part",
            Verdict::Skipped(_) => "skipped",
            Verdict::NotHeld(_) => "NOT HELD",
        }
    }
}

/// Further lines of a row stand under its first word.
const INDENT: &str = "          ";

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Held(text) | Verdict::Skipped(text) | Verdict::NotHeld(text) => {
                f.write_str(text)
            }
            Verdict::InPart(figure, reasons) => {
                f.write_str(figure)?;
                reasons.iter().try_for_each(|why| write!(f, "\n{INDENT}skipped: {why}"))
            }
        }
    }
}

/// How many rows ended how.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    held: u32,
    in_part: u32,
    skipped: u32,
    broken: Vec<&'static str>,
}

impl Sum {
    pub(super) fn add(&mut self, key: &'static str, verdict: &Verdict) {
        match verdict {
            Verdict::Held(_) => self.held += 1,
            Verdict::InPart(..) => self.in_part += 1,
            Verdict::Skipped(_) => self.skipped += 1,
            Verdict::NotHeld(_) => self.broken.push(key),
        }
    }

    /// An error if a row has not held. What could not be tried is none: the lines say so.
    pub(super) fn finish(self) -> Result<(), String> {
        if self.broken.is_empty() { Ok(()) } else { Err(self.broken.join(", ") + ": not held") }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sum { held, in_part, skipped, broken } = self;
        let broken = broken.len();
        write!(f, "{held} held, {in_part} held in part, {skipped} skipped, {broken} not held")
    }
}

/// What stands behind `trust: KEY: `, line by line. A test harness may have begun the line.
fn lines<'a>(text: &'a str, key: &str) -> impl Iterator<Item = &'a str> {
    let mark = format!("trust: {key}: ");
    text.lines().filter_map(move |line| Some(line.split_once(&mark)?.1.trim()))
}

const SKIPPED: &str = "skipped:";

/// The last figure of the key.
fn figure(text: &str, key: &str) -> Option<String> {
    let figures = lines(text, key).filter(|line| !line.is_empty() && !line.starts_with(SKIPPED));
    figures.last().map(str::to_owned)
}

/// Why the key, or a part of it, was not tried; each reason once.
fn reasons(text: &str, key: &str) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for why in lines(text, key).filter_map(|line| line.strip_prefix(SKIPPED)) {
        let why = why.trim();
        if !why.is_empty() && !reasons.iter().any(|known| known == why) {
            reasons.push(why.to_owned());
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_last_figure_of_the_key_counts() {
        let text =
            "test a ... trust: kills: 20 kills\ntrust: kills-b: no\ntrust: kills: 30 kills\n";
        assert_eq!(Verdict::of_one(text, "kills"), Verdict::Held("30 kills".to_owned()));
        assert_eq!(Verdict::of_one(text, "other").word(), "NOT HELD");
        assert_eq!(Verdict::of_one("trust: kills: \n", "kills").word(), "NOT HELD");
    }

    #[test]
    fn a_row_that_was_skipped_is_neither_held_nor_broken() {
        let text =
            "test a ... trust: kills: skipped: no rights\ntrust: kills: skipped: no rights\n";
        assert_eq!(Verdict::of_one(text, "kills"), Verdict::Skipped("no rights".to_owned()));
        let more = text.to_owned() + "trust: kills: 30 kills\ntrust: kills: skipped: no disk\n";
        let part = Verdict::InPart("30 kills".to_owned(), texts(&["no rights", "no disk"]));
        assert_eq!(Verdict::of_one(&more, "kills"), part);
        assert!(part.to_string().ends_with("\n          skipped: no disk"), "{part}");
        // A reason that names nothing is no reason.
        assert_eq!(Verdict::of_one("trust: kills: skipped: \n", "kills").word(), "NOT HELD");
    }

    #[test]
    fn every_story_must_be_told_and_the_skipped_ones_are_listed() {
        let text = "trust: a: one\ntrust: b: two\ntrust: c: skipped: not root\n";
        let held = Verdict::of_stories(text, &["a", "b"]);
        assert!(
            matches!(&held, Verdict::Held(f) if f.contains("2 stories\n") && f.contains("b: two"))
        );
        match Verdict::of_stories(text, &["a", "c"]) {
            Verdict::InPart(figure, skipped) => {
                assert!(figure.starts_with("1 of 2 stories\n"), "{figure}");
                assert_eq!(skipped, ["c: not root"]);
            }
            other => panic!("{other:?}"),
        }
        let more = text.to_owned() + "trust: d: skipped: not root\n";
        let none = Verdict::Skipped("not root".to_owned());
        assert_eq!(Verdict::of_stories(&more, &["c", "d"]), none);
        match Verdict::of_stories(&more, &["a", "c", "d"]) {
            Verdict::InPart(_, skipped) => assert_eq!(skipped, ["c, d: not root"]),
            other => panic!("{other:?}"),
        }
        let untold = Verdict::of_stories(text, &["a", "c", "d"]);
        assert_eq!(untold, Verdict::NotHeld("nothing was said of d".to_owned()));
    }

    #[test]
    fn only_what_has_not_held_ends_with_an_error() {
        let mut sum = Sum::default();
        sum.add("a", &Verdict::Held(String::new()));
        sum.add("b", &Verdict::InPart(String::new(), Vec::new()));
        sum.add("c", &Verdict::Skipped(String::new()));
        assert_eq!(sum.to_string(), "1 held, 1 held in part, 1 skipped, 0 not held");
        assert_eq!(sum.finish(), Ok(()));
        let mut sum = Sum::default();
        sum.add("c", &Verdict::Skipped(String::new()));
        sum.add("d", &Verdict::NotHeld(String::new()));
        assert_eq!(sum.to_string(), "0 held, 0 held in part, 1 skipped, 1 not held");
        assert_eq!(sum.finish(), Err("d: not held".to_owned()));
    }
}
