//! Ranges as users give them, checked against a length.

use super::Handle;
use crate::{Error, ErrorKind};
use std::ops::{Bound, RangeBounds};

/// Start and end, if they lie in order within `len`; else the words for it.
pub(super) fn resolve(range: &impl RangeBounds<u64>, len: u64) -> Result<(u64, u64), String> {
    let start = match range.start_bound() {
        Bound::Included(s) => Some(*s),
        Bound::Excluded(s) => s.checked_add(1),
        Bound::Unbounded => Some(0),
    };
    let end = match range.end_bound() {
        Bound::Included(e) => e.checked_add(1),
        Bound::Excluded(e) => Some(*e),
        Bound::Unbounded => Some(len),
    };
    match (start, end) {
        (Some(start), Some(end)) if start <= end && end <= len => Ok((start, end)),
        (start, end) => {
            let word = |n: Option<u64>| n.map_or_else(|| "(too large)".into(), |n| n.to_string());
            Err(format!("{}..{}", word(start), word(end)))
        }
    }
}

/// "the map Cat has 10000 bytes; 9995..10007 is outside it".
pub(super) fn outside(handle: &Handle, view: Option<u64>, shown: &str) -> Error {
    let map = handle.words();
    let cause = match view {
        Some(len) if len != handle.len => {
            format!("this view of {map} has {}; {shown} is outside it", bytes(len))
        }
        _ => format!("{map} has {}; {shown} is outside it", bytes(handle.len)),
    };
    handle.about(ErrorKind::OutOfRange, cause)
}

fn bytes(n: u64) -> String {
    if n == 1 { "1 byte".into() } else { format!("{n} bytes") }
}
