//! Inputs as the APIs write them.

mod images;
mod list;
mod text;

pub(crate) use self::{
    images::{image, is_address},
    list::{Ids, Inputs, Item, MAX_INPUTS, TextList},
    text::Text,
};
