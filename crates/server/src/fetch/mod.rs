//! Images at an address: fetched from hosts that are allowed, and from nowhere else.
//!
//! A name is resolved here, once, and the connection goes to the address that was looked at: a name cannot
//! turn into an address of the own network in between.

mod address;
mod client;

use std::net::IpAddr;

use axum::http::Uri;
use tokio::{net::lookup_host, time::Instant};

use self::{
    address::{Target, invalid, is_public},
    client::{Fetched, get},
};
use crate::{
    App,
    failure::{Failure, FailureKind},
    hosts::ImageHost,
    inputs::{Inputs, Item, is_address},
    request::{Room, Terms},
};

/// Most redirects of one image.
const REDIRECTS: usize = 3;
/// Most images at an address in one request: they are fetched one after another.
const MOST: usize = 256;

/// The bytes of images in place of their addresses, and the room that they take.
pub(crate) async fn fetched(
    app: &App,
    mut inputs: Inputs,
    terms: &Terms,
) -> Result<(Inputs, Room), Failure> {
    let mut room = Room::default();
    let of = inputs.items.len();
    let count = inputs.items.iter().filter(|item| address_of(item).is_some()).count();
    if count > MOST {
        let message = format!("{count} images at an address are more than {MOST}");
        return Err(Failure::new(FailureKind::TooLarge, message).param("image"));
    }
    // As for a body that a client sends by itself.
    let mut deadline = Instant::now() + app.config().times.body;
    if let Some(end) = terms.deadline {
        deadline = deadline.min(end.into());
    }
    for (index, item) in inputs.items.iter_mut().enumerate() {
        let Some(address) = address_of(item) else { continue };
        let image = image(app, address, deadline, &mut room).await;
        *item = Item::Bytes(image.map_err(|failure| failure.at(index, of))?);
    }
    Ok((inputs, room))
}

/// The address of an image.
fn address_of(item: &Item) -> Option<&str> {
    match item {
        Item::Image(text) if is_address(text) => Some(text),
        _ => None,
    }
}

/// The image at an address, within the limits on bytes, time and redirects.
async fn image(
    app: &App,
    address: &str,
    deadline: Instant,
    room: &mut Room,
) -> Result<Vec<u8>, Failure> {
    let hosts = &app.config().image_hosts;
    if hosts.is_empty() {
        return Err(invalid("images at an address are not fetched")
            .hint("send the image itself as a data URI: data:image/png;base64,…"));
    }
    let mut uri: Uri =
        address.trim().parse().map_err(|_| invalid("the address of an image cannot be read"))?;
    for _ in 0..=REDIRECTS {
        let target = Target::new(&uri)?;
        let Some(allowed) = hosts.iter().find(|host| host.is(&target.host, target.port)) else {
            let message = format!("images of {} are not fetched", target.shown());
            return Err(invalid(message).hint("send the image itself as a data URI"));
        };
        let addresses = addresses(&target, allowed, deadline).await?;
        match get(app, &target, &addresses, deadline, room).await? {
            Fetched::Body(bytes) => return Ok(bytes),
            Fetched::Redirect(location) => uri = target.joined(&location)?,
        }
    }
    Err(invalid(format!("the address of an image leads to more than {REDIRECTS} others")))
}

/// Addresses that may be connected to. Those of the own network are left out, unless the host is named by
/// its address.
async fn addresses(
    target: &Target,
    allowed: &ImageHost,
    deadline: Instant,
) -> Result<Vec<IpAddr>, Failure> {
    if let Ok(address) = target.host.trim_matches(['[', ']']).parse() {
        return Ok(vec![address]);
    }
    let found = tokio::time::timeout_at(deadline, lookup_host((&*target.host, target.port)));
    let failed = || invalid(format!("{} cannot be found", target.shown()));
    let found = found.await.map_err(|_| failed())?.map_err(|_| failed())?;
    let found = found.map(|address| address.ip());
    let permitted: Vec<_> =
        found.filter(|&address| allowed.is_this_machine() || is_public(address)).collect();
    if permitted.is_empty() {
        return Err(invalid(format!("{} has no public address", target.shown())));
    }
    Ok(permitted)
}
