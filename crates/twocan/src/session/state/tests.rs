use super::*;
use crate::layout::{Kind, LINE};
use crate::region::OwnRegion;
use crate::ring::{Producer, ack_word};
use crate::sys::closer::Shy;

const LINES: u64 = LINE as u64;
/// Starts from which a few lines cross a wrap: of the acknowledgement word's 32 bits, of the sign,
/// of the position.
const STARTS: [u64; 5] =
    [0, (1 << 32) - LINES, (1 << 38) - LINES, (1 << 63) - LINES, LINES.wrapping_neg()];

fn state(start: u64) -> State {
    State::new(Shape { id: 1, capacity: 4096, start }, &Wanted::default())
}

#[test]
fn an_acknowledgement_is_expanded_at_or_after_what_is_known() {
    for start in STARTS {
        for ahead in [0, 1, 2, 63, u64::from(u32::MAX)] {
            let position = start.wrapping_add(ahead * LINES);
            assert_eq!(expand(start, ack_word(9, position) as u32), position);
            assert_eq!(ack_word(9, position) >> 32, 9);
        }
    }
}

#[test]
fn a_last_acknowledgement_is_taken_up_to_the_head_and_no_further() {
    for start in STARTS {
        let at = |lines: u64| start.wrapping_add(lines * LINES);
        let mut state = state(start);
        assert!(state.absorb(ack_word(1, at(2)), 0, at(3), |_| true).is_ok());
        assert_eq!(state.acked, at(2));
        assert_eq!(
            state.absorb(ack_word(1, at(4)), 0, at(3), |_| true),
            Err(Violation::BadAcknowledgement)
        );
        assert_eq!(
            state.absorb(ack_word(1, at(1)), 0, at(3), |_| true),
            Err(Violation::BadAcknowledgement)
        );
        assert_eq!(state.acked, at(2), "a lie changes nothing");
        assert!(state.absorb(ack_word(1, at(3)), 0, at(3), |_| true).is_ok());
        assert_eq!(state.acked, at(3));
    }
}

#[test]
fn knowledge_only_grows() {
    let mut state = state(0);
    state.generation = 5;
    assert!(state.absorb(ack_word(5, LINES), 65, 4 * LINES, |_| true).is_ok());
    assert_eq!((state.acked, state.taken), (LINES, 65));
    assert!(state.absorb(0, 0, 4 * LINES, |_| true).is_ok(), "no acknowledgement at all");
    assert!(
        state.absorb(ack_word(4, 3 * LINES), 129, 4 * LINES, |_| true).is_ok(),
        "one of an older region"
    );
    assert!(
        state.absorb(ack_word(5, LINES), 0, 4 * LINES, |_| true).is_ok(),
        "the same, and nothing taken"
    );
    assert_eq!((state.acked, state.taken), (LINES, 65));
    let future = state.absorb(ack_word(6, 0), 0, 4 * LINES, |_| true);
    assert_eq!(future, Err(Violation::BadAcknowledgement));
}

/// A dead predecessor's region with `records` records of one line.
fn outbound(generation: u32, start: u64, records: u64) -> Outbound {
    let own = OwnRegion::create(4096, start, u64::from(generation), false).unwrap();
    let mut producer = Producer::new(start, 4096);
    for _ in 0..records {
        producer.push(&own, Kind::Data, [&[], b"left behind"]).unwrap();
    }
    let fd = own.fd().duplicate().unwrap();
    let region = Arc::new(PeerRegion::map(Shy::new(fd), own.shape(), false).unwrap());
    Outbound { generation, region, position: start }
}

#[test]
fn dead_predecessors_regions_leave_the_outbox_when_they_are_acknowledged_to_their_end() {
    for start in STARTS {
        let at = |lines: u64| start.wrapping_add(lines * LINES);
        let mut state = state(0);
        state.generation = 4;
        state.outbox = vec![outbound(2, start, 3), outbound(3, start, 1)];
        let left = |s: &State| s.outbox.iter().map(|o| o.generation).collect::<Vec<_>>();
        assert!(state.absorb(ack_word(2, at(1)), 0, 0, |_| true).is_ok());
        assert_eq!(left(&state), [2, 3]);
        assert_eq!(state.outbox[0].position, at(1));
        assert!(state.absorb(ack_word(2, at(3)), 0, 0, |_| true).is_ok());
        assert_eq!(left(&state), [3], "acknowledged to its end");
        assert!(state.absorb(ack_word(3, start), 0, 0, |_| true).is_ok());
        assert_eq!(left(&state), [3], "begun and not read");
        assert!(state.absorb(ack_word(4, 0), 0, 0, |_| true).is_ok());
        assert!(left(&state).is_empty(), "a reader of the fourth has left the third behind");
    }
}

#[test]
fn an_impossible_position_in_a_dead_region_changes_nothing() {
    let mut state = state(0);
    state.generation = 3;
    state.outbox = vec![outbound(2, 0, 3)];
    assert!(state.absorb(ack_word(2, 4096 + LINES), 0, 0, |_| true).is_ok());
    assert_eq!(state.outbox[0].position, 0);
}

#[test]
fn an_end_that_lets_others_in_gives_and_takes_whole_regions() {
    let wanted = |sharing| Wanted { sharing, ..Wanted::default() };
    let (others, own_user) = (wanted(crate::Sharing::Everyone), Wanted::default());
    let made = |wanted: &Wanted| {
        let (own, _) = wanted.make().unwrap();
        (crate::sys::memfd::allocated(own.fd()), State::new(own.shape(), wanted).whole)
    };
    let (pages, whole) = made(&others);
    assert!(pages > own_user.capacity as u64 && whole);
    let (pages, whole) = made(&Wanted { prefault: true, ..Wanted::default() });
    assert!(pages > own_user.capacity as u64 && !whole, "asked for; the peer is free to choose");
    assert!(!made(&own_user).1);
}
