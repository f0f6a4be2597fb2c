//! A request on its way in: its deadline and urgency, and its body.

mod body;
mod terms;

pub(crate) use self::{
    body::{Json, Raw, Room, read_image},
    terms::Terms,
};
