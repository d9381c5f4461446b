//! How an end is to be.

use super::{Channel, Direction, Spin};
use crate::session::{self, Wanted};
use crate::sys::invitation;
use crate::sys::socket::Connection;
use crate::{Error, ErrorKind, Result, Scope, Sharing, Until};
use std::process::Command;

/// Options of an end. Made by [`Channel::options`].
///
/// ```no_run
/// use twocan::{Channel, Direction};
/// let log = Channel::options().nick("engine").direction(Direction::SendOnly).open("log")?;
/// # Ok::<(), twocan::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ChannelOptions {
    wanted: Wanted,
    spin: Spin,
}

impl Default for ChannelOptions {
    fn default() -> ChannelOptions {
        ChannelOptions::new()
    }
}

impl ChannelOptions {
    /// The defaults: both directions, no nick, no label, a ring of 1 MiB, messages up to 64 MiB,
    /// adaptive waiting, the current user only.
    pub fn new() -> ChannelOptions {
        ChannelOptions { wanted: Wanted::default(), spin: Spin::Adaptive }
    }

    /// What the other side is told this end is called; cut at 64 bytes, control characters removed.
    /// Default: nothing.
    pub fn nick(&mut self, nick: impl Into<String>) -> &mut Self {
        self.wanted.nick = nick.into();
        self
    }

    /// What the two ends speak, at most 128 bytes. Ends with different labels refuse each other.
    /// Default: nothing.
    pub fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.wanted.label = label.into();
        self
    }

    /// Both directions (the default) or one.
    pub fn direction(&mut self, direction: Direction) -> &mut Self {
        self.wanted.direction = direction;
        self
    }

    /// Bytes of this end's outgoing ring: rounded up to a power of two, 4 KiB to 1 GiB, default 1
    /// MiB. The memory is taken as it is used, a few pages ahead, unless
    /// [`prefault`](ChannelOptions::prefault) asks for all of it. A message longer than a quarter
    /// of it goes in pieces.
    pub fn send_capacity(&mut self, bytes: usize) -> &mut Self {
        self.wanted.capacity = bytes;
        self
    }

    /// The longest message in bytes, default 64 MiB. Must be the same on both sides.
    pub fn max_message(&mut self, bytes: usize) -> &mut Self {
        self.wanted.max_message = bytes;
        self
    }

    /// How calls wait.
    pub fn spin(&mut self, spin: Spin) -> &mut Self {
        self.spin = spin;
        self
    }

    /// Takes all memory of this end's ring when it opens, so that a lack of it is an error of
    /// `open`, and touches that of both rings then and when a peer comes, so that the first
    /// messages do not pay for it (about a microsecond a page). Default: no; but an end that lets
    /// other users in takes its memory at once in any case, and asks the same of its peer.
    pub fn prefault(&mut self, prefault: bool) -> &mut Self {
        self.wanted.prefault = prefault;
        self
    }

    /// Who else may be at the other end. Default: the current user only. Both sides must ask for
    /// the same.
    pub fn sharing(&mut self, sharing: Sharing) -> &mut Self {
        self.wanted.sharing = sharing;
        self
    }

    /// Whose names it is among: the user's (default) or the machine's. Both sides must ask for the
    /// same.
    pub fn scope(&mut self, scope: Scope) -> &mut Self {
        self.wanted.scope = scope;
        self
    }

    /// See [`Channel::open`].
    ///
    /// # Errors
    /// As there; `InvalidInput` for an impossible option.
    pub fn open(&self, name: &str) -> Result<Channel> {
        Ok(Channel::from_owner(session::open(&self.wanted, name, None)?, self.spin))
    }

    /// Opens, and waits for a seat: while two others have them, or the one other does not fit.
    ///
    /// # Errors
    /// As [`Channel::open`]; when the time is up, the reason there was no seat; `Cancelled`.
    pub fn open_until<'c>(&self, name: &str, until: impl Into<Until<'c>>) -> Result<Channel> {
        let owner = session::open(&self.wanted, name, Some(until.into()))?;
        Ok(Channel::from_owner(owner, self.spin))
    }

    /// See [`Channel::pair`].
    ///
    /// # Errors
    /// As there; `InvalidInput` for an impossible option.
    pub fn pair(&self) -> Result<(Channel, Channel)> {
        let (a, b) = session::pair(&self.wanted)?;
        Ok((Channel::from_owner(a, self.spin), Channel::from_owner(b, self.spin)))
    }

    /// See [`Channel::invite`].
    ///
    /// # Errors
    /// As there; `InvalidInput` for an impossible option.
    pub fn invite(&self) -> Result<(Channel, Invitation)> {
        let (owner, connection) = session::invite(&self.wanted)?;
        Ok((Channel::from_owner(owner, self.spin), Invitation { connection: Some(connection) }))
    }

    /// See [`Channel::invited`]. Label and `max_message` must be those of the inviting side.
    ///
    /// # Errors
    /// As there; `InvalidInput` for an impossible option.
    pub fn invited(&self) -> Result<Channel> {
        let Some(connection) = invitation::accept() else {
            return Err(Error::new(ErrorKind::NotFound, "this process was not invited")
                .with_cure("Start it with Invitation::attach"));
        };
        Ok(Channel::from_owner(session::invited(&self.wanted, connection)?, self.spin))
    }
}

/// The other end of a channel, on its way to a child process. Dropped unused, the inviting side
/// sees a goodbye.
#[derive(Debug)]
pub struct Invitation {
    connection: Option<Connection>,
}

impl Invitation {
    /// Makes `command` start a child that finds its end with [`Channel::invited`]. Start one child
    /// only, and drop the invitation (and the command) after that.
    ///
    /// # Errors
    /// `InvalidInput` if it was attached already.
    ///
    /// # Platform
    /// On Linux the child inherits a descriptor whose number stands in the environment variable
    /// `TWOCAN_INVITATION`.
    pub fn attach(&mut self, command: &mut Command) -> Result<()> {
        let Some(connection) = self.connection.take() else {
            return Err(Error::new(ErrorKind::InvalidInput, "the invitation is attached already"));
        };
        if invitation::attach(command, connection) { Ok(()) } else { Err(crate::error::forked()) }
    }
}
