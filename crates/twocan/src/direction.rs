//! Which way an end sends.

/// What an end does: both, or one direction only. Two ends that only send do not pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Direction {
    /// Sends and receives.
    #[default]
    Both,
    /// Only sends; what the other side sends is refused there with
    /// [`SendError::ReceiverGone`](crate::SendError).
    SendOnly,
    /// Only receives; the other side sees `Finished` at once.
    RecvOnly,
}
