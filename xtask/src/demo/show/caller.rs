//! Somebody with a program that signs its calls.

use std::net::TcpStream;

use anyhow::Result;
use portcullis_tests::client::{Answer, Client, Wire};

use super::{place::Place, world::GATE};

/// A session and the place that it is used from.
pub(super) struct Caller {
    place: Place,
    client: Client,
}

impl Caller {
    /// Opens a session.
    pub(super) fn open(place: &Place) -> Result<Self> {
        let mut client = Client::open_over(&mut wire(place)?, GATE)?;
        client.user_agent = "Shop/1.0".to_owned();
        Ok(Self {
            place: place.clone(),
            client,
        })
    }

    pub(super) fn who(&self) -> &'static str {
        self.place.who
    }

    /// The next request, signed, as bytes.
    pub(super) fn sign(&mut self, method: &str, target: &str, body: &str) -> Result<Vec<u8>> {
        self.client.request(method, target, body)
    }

    /// Signs and sends over a new connection.
    pub(super) fn call(&mut self, method: &str, target: &str, body: &str) -> Result<Answer> {
        let request = self.sign(method, target, body)?;
        send(&self.place, &request)
    }

    /// Goes on with the nonce that the gate chose.
    pub(super) fn adopt(&mut self, answer: &Answer) -> Result<()> {
        self.client.adopt(answer)
    }
}

/// Sends bytes over a new connection.
pub(super) fn send(place: &Place, bytes: &[u8]) -> Result<Answer> {
    wire(place)?.exchange(bytes)
}

/// A new connection.
pub(super) fn wire(place: &Place) -> Result<Wire> {
    let stream: TcpStream = place.connect()?;
    Wire::over(stream)
}
