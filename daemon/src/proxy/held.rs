//! Asks the rules, and holds a call back as long as one makes it wait.

use std::pin::pin;
use std::time::Duration;

use portcullis_guard::guard::{Bound, Hold, Passage, Permit};
use portcullis_guard::refusal::Refusal;

use super::{Answered, Call, Proxy};
use crate::clock;
use crate::listener::limits::Limit;

impl Proxy {
    /// Asks the guard about a bound call. `body` is what was read of it, if it was.
    pub(super) async fn admit(&self, call: &Call<'_>, bound: Bound, body: Option<&[u8]>) -> Result<Permit, Answered> {
        let judgement = self.guard.admit(bound, &call.view(), body, clock::now());
        match self.settle(call, judgement)? {
            Passage::Forward(permit) => Ok(permit),
            Passage::Hold(hold) => Box::pin(self.hold(call, hold, body)).await,
        }
    }

    /// Waits until the rules let the call pass or refuse it. Without room to wait it is judged as if its time were up.
    async fn hold(&self, call: &Call<'_>, mut hold: Hold, body: Option<&[u8]>) -> Result<Permit, Answered> {
        let guard = &self.guard;
        let Some(place) = self.gate.waiting().enter(hold.session()) else {
            self.gate.connections().limits().count(Limit::Held);
            let judgement = guard.resume(hold.without_patience(), &call.view(), body, clock::now());
            return match self.settle(call, judgement)? {
                Passage::Forward(permit) => Ok(permit),
                Passage::Hold(_) => Err(Box::new(self.refuse(call, Refusal::Overloaded))),
            };
        };
        loop {
            let mut answered = pin!(place.next_answer());
            answered.as_mut().enable();
            let judgement = guard.resume(hold, &call.view(), body, clock::now());
            hold = match self.settle(call, judgement)? {
                Passage::Forward(permit) => return Ok(permit),
                Passage::Hold(again) => again,
            };
            // A timer of its own: the coarse one would make a wait of some milliseconds a quarter of a second.
            let time = hold.until().since(clock::monotonic()) + Duration::from_millis(1);
            if hold.for_answer() {
                let _ = tokio::time::timeout(time, answered).await;
            } else {
                tokio::time::sleep(time).await;
            }
        }
    }
}
