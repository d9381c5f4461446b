//! What there is: the names that somebody holds.

use crate::name::files::SeatFiles;
use crate::named::{self, Kind};
use crate::session;
use crate::sys::dir::Directory;
use crate::sys::{object, process};
use crate::{Result, Scope};
use std::collections::BTreeMap;

/// What a listed name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ListedKind {
    /// A [`MemoryMap`](crate::MemoryMap).
    Map,
    /// An [`Event`](crate::Event).
    Event,
    /// A [`Channel`](crate::Channel).
    Channel,
}

/// One name that somebody holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The name; for names too long to be kept, `%x` and their hash.
    pub name: String,
    /// What it stands for.
    pub kind: ListedKind,
    /// How far the name reaches.
    pub scope: Scope,
    /// Length of a map in bytes.
    pub len: Option<u64>,
    /// What the ends of a channel speak; empty = raw bytes.
    pub label: Option<String>,
    /// The processes that hold it, as far as this user may know.
    pub holders: Vec<u32>,
}

/// Lists the names that somebody holds now, this user's and the machine's, sorted by kind and name.
///
/// # Errors
/// `ForeignOwner` if the directory of names is somebody else's.
///
/// # Examples
/// ```
/// # let name = format!("doc-list-{}", std::process::id());
/// let _map = twocan::MemoryMap::create_new(&name, 10_000)?;
/// let listed = twocan::list()?;
/// assert!(listed.iter().any(|l| l.name == name && l.len == Some(10_000)));
/// # Ok::<(), twocan::Error>(())
/// ```
pub fn list() -> Result<Vec<Listed>> {
    let own = Directory::open()?;
    let mut found = objects(&own);
    found.extend(channels(&own));
    // Nobody needs a directory of the machine to be made for a look.
    if let Some(machine) = Directory::existing(Scope::Machine)? {
        found.extend(objects(&machine));
        found.extend(channels(&machine));
    }
    found.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(found)
}

fn objects(dir: &Directory) -> Vec<Listed> {
    let held = named::held(dir);
    let ids: Vec<_> = held.iter().map(|e| (e.look.id, e.file_name.as_str())).collect();
    let mut holders = process::holders(&ids);
    let listed = held.into_iter().map(|entry| Listed {
        name: entry.name,
        kind: match entry.kind {
            Kind::Map => ListedKind::Map,
            Kind::Event => ListedKind::Event,
        },
        scope: dir.scope(),
        len: (entry.kind == Kind::Map).then_some(entry.look.len),
        label: None,
        holders: holders.remove(&entry.look.id).unwrap_or_default(),
    });
    listed.collect()
}

/// Channels by their seat records: one row for the one or two ends that are held.
fn channels(dir: &Directory) -> Vec<Listed> {
    let mut rows: BTreeMap<u128, Listed> = BTreeMap::new();
    for file_name in dir.file_names() {
        let Some(seat) = SeatFiles::of_record(&file_name) else { continue };
        if !object::look(dir, &file_name).is_some_and(|look| look.held) {
            continue;
        }
        let Some(record) = session::read_record(dir, &file_name) else { continue };
        let row = rows.entry(seat.hash).or_insert_with(|| Listed {
            name: record.channel,
            kind: ListedKind::Channel,
            scope: dir.scope(),
            len: None,
            label: Some(record.card.label),
            holders: Vec::new(),
        });
        row.holders.push(record.card.pid);
    }
    rows.into_values().collect()
}
