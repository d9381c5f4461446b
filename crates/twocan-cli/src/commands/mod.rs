//! The commands, one module each.

pub(crate) mod demo;
pub(crate) mod demo_end;
pub(crate) mod event;
pub(crate) mod hold;
pub(crate) mod ls;
pub(crate) mod manual;
pub(crate) mod map;
pub(crate) mod pipe;
pub(crate) mod recv;
pub(crate) mod send;
