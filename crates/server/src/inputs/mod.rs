//! Inputs as the APIs write them.

mod images;
mod list;
mod text;

pub(crate) use self::{
    images::image,
    list::{Ids, Inputs, Item, MAX_INPUTS, TextList},
    text::Text,
};
