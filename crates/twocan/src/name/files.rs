//! The files that stand for names: `<stem>.map` and `<stem>.event`, and for a channel the files of
//! its two seats.

use super::{Name, decode_stem, parse_hash};

/// What a name stands for, channels apart. Both kinds share one name space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Map,
    Event,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Map, Kind::Event];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Map => "map",
            Kind::Event => "event",
        }
    }

    pub(crate) fn with_article(self) -> &'static str {
        match self {
            Kind::Map => "a map",
            Kind::Event => "an event",
        }
    }

    pub(crate) fn other(self) -> Kind {
        match self {
            Kind::Map => Kind::Event,
            Kind::Event => Kind::Map,
        }
    }

    pub(crate) fn file_name(self, name: &Name) -> String {
        format!("{}.{}", name.file_stem(), self.word())
    }
}

/// Kind, hash and name of a map's or an event's file; for a name too long to be kept, the stem.
/// `None` = no such file has this name.
pub(crate) fn object(file_name: &str) -> Option<(Kind, u128, String)> {
    Kind::ALL.into_iter().find_map(|kind| {
        let stem = file_name.strip_suffix(kind.word())?.strip_suffix('.')?;
        let (hash, name) = decode_stem(stem)?;
        Some((kind, hash, name.unwrap_or_else(|| stem.to_owned())))
    })
}

/// Ends the name of a seat's record; without it stands the name of its socket.
const RECORD: &str = ".seat";

/// A seat of a channel: its socket is `ch-<32 hex digits>.<seat>`, its record the same with `.seat`
/// behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeatFiles {
    pub(crate) hash: u128,
    pub(crate) seat: usize,
}

impl SeatFiles {
    pub(crate) fn socket(self) -> String {
        format!("ch-{:032x}.{}", self.hash, self.seat)
    }

    pub(crate) fn record(self) -> String {
        self.socket() + RECORD
    }

    /// The seat of a socket's name; `None` = it is none.
    pub(crate) fn of_socket(file_name: &str) -> Option<SeatFiles> {
        let (hash, seat) = file_name.strip_prefix("ch-")?.split_once('.')?;
        let seat = match seat {
            "0" => 0,
            "1" => 1,
            _ => return None,
        };
        Some(SeatFiles { hash: parse_hash(hash)?, seat })
    }

    /// The seat of a record's name; `None` = it is none.
    pub(crate) fn of_record(file_name: &str) -> Option<SeatFiles> {
        SeatFiles::of_socket(file_name.strip_suffix(RECORD)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_tell_what_they_are() {
        let hash = Name::parse("Cat").unwrap().hash128();
        assert_eq!(object("Cat.map"), Some((Kind::Map, hash, "Cat".into())));
        assert_eq!(object("Cat.event"), Some((Kind::Event, hash, "Cat".into())));
        for none in ["Cat", ".lock", ".map", "Catmap", "Cat.MAP"] {
            assert_eq!(object(none), None, "{none}");
        }
    }

    #[test]
    fn names_of_seats_are_what_they_were_made_from() {
        let digits = "0".repeat(31) + "f";
        for seat in [0, 1] {
            let files = SeatFiles { hash: 15, seat };
            let (socket, record) = (files.socket(), files.record());
            assert_eq!(socket, format!("ch-{digits}.{seat}"));
            assert_eq!(record, format!("ch-{digits}.{seat}.seat"));
            assert_eq!(SeatFiles::of_socket(&socket), Some(files));
            assert_eq!(SeatFiles::of_record(&record), Some(files));
            assert_eq!(SeatFiles::of_socket(&record), None);
            assert_eq!(SeatFiles::of_record(&socket), None);
        }
        let upper = digits.to_uppercase();
        for none in ["ch-0.1", &format!("ch-{digits}.2"), &format!("ch-{upper}.1"), &digits] {
            assert_eq!(SeatFiles::of_socket(none), None, "{none}");
            assert_eq!(SeatFiles::of_record(&format!("{none}.seat")), None, "{none}");
        }
    }
}
