//! Following what happens: an answer without an end, a line at a time.

use std::ops::ControlFlow;

use http::Request;
use http_body_util::BodyExt;

use super::upload::Upload;
use super::{Client, ClientError, PATIENCE};
use crate::control::api::{Event, PREFIX};

/// The longest line that is read.
const LONGEST_LINE: usize = 64 << 10;

impl Client {
    /// Calls `tell` for each event from here on, until it breaks or the daemon ends.
    ///
    /// # Errors
    /// [`ClientError`]; that the daemon ended is none.
    pub fn follow(&self, tell: &mut dyn FnMut(Event) -> ControlFlow<()>) -> Result<(), ClientError> {
        self.runtime()?.block_on(self.follow_lines(tell))
    }

    async fn follow_lines(&self, tell: &mut dyn FnMut(Event) -> ControlFlow<()>) -> Result<(), ClientError> {
        let mut sender = self.connect().await?;
        let request = Request::get(format!("{PREFIX}/events"))
            .header(http::header::HOST, "portcullis")
            .body(Upload::default())
            .map_err(|error| self.not_understood(&error))?;
        let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
        let answer = answer.map_err(|_| self.stalled(PATIENCE))?;
        let answer = answer.map_err(|error| self.not_understood(&error))?;
        if !answer.status().is_success() {
            return Err(self.refusal(&self.read_whole(answer).await?));
        }
        let (mut body, mut line) = (answer.into_body(), Vec::new());
        // A connection that breaks off is a daemon that ended.
        while let Some(Ok(frame)) = body.frame().await {
            for byte in frame.into_data().unwrap_or_default() {
                if byte != b'\n' {
                    line.push(byte);
                } else if !line.is_empty() {
                    let event = serde_json::from_slice(&line).map_err(|error| self.not_understood(&error))?;
                    line.clear();
                    if tell(event).is_break() {
                        return Ok(());
                    }
                }
                if line.len() > LONGEST_LINE {
                    return Err(self.not_understood(&"a line is too long"));
                }
            }
        }
        Ok(())
    }
}
