//! Signals that refuse nothing: how a session calls, and how many of them one client opens.

use std::hash::Hasher;

use http::HeaderMap;
use http::header::USER_AGENT;
use siphasher::sip::SipHasher13;

use super::Guard;
use crate::behaviour::Shape;
use crate::campaign::ClientMark;
use crate::fingerprint::Fingerprint;
use crate::ledger::Line;
use crate::request::Request;
use crate::sequence::Action;
use crate::session::SessionId;
use crate::session::record::{Notice, Record};
use crate::signal::Signal;
use crate::time::Now;

/// By what a client's software is told from others'. Nothing is gained by choosing it: whoever looks like others gets
/// their points, whoever looks like nobody gets his own.
pub(super) fn client_mark(request: &Request<'_>) -> ClientMark {
    let mut hasher = SipHasher13::new();
    hasher.write(agent(request.headers));
    hasher.write_u32(request.fingerprint.map_or(0, |fingerprint| fingerprint.stable()));
    ClientMark::new(request.client.source(), hasher.finish())
}

fn agent(headers: &HeaderMap) -> &[u8] {
    headers.get(USER_AGENT).map_or(&[][..], http::HeaderValue::as_bytes)
}

/// A line for a call that passed.
fn line_of(signal: Signal, points: f32, session: SessionId, now: Now) -> Line {
    Line {
        at: now.wall,
        signal,
        points,
        times: 1,
        reference: None,
        session: Some(session),
        rule: None,
    }
}

impl Guard {
    /// Looks at the rhythm and the pattern of a signed call. Returns what its score leads to, if that reached a threshold.
    pub(super) fn notice(&self, record: &mut Record, request: &Request<'_>, now: Now) -> Option<Action> {
        self.notice_call(record, request, now);
        let points = std::mem::take(&mut record.unjudged);
        if points <= 0.0 {
            return None;
        }
        let score = record.score.value(self.policy.thresholds.half_life, now.mono);
        self.reached(score - points, score).filter(|action| !action.lets_pass())
    }

    fn notice_call(&self, record: &mut Record, request: &Request<'_>, now: Now) {
        let shape = Shape::of(request.operation, request.path);
        let revealed = record.behaviour.call(shape, now.mono);
        if revealed.robotic {
            self.charge_notice(record, Notice::Rhythm, now);
        }
        if let Some(pattern) = revealed.pattern {
            let client = client_mark(request);
            let limits = self.policy.thresholds.campaigns;
            if self.campaigns.note(client, pattern, record.id, limits, now.mono) {
                self.charge_notice(record, Notice::Alike, now);
            }
        }
    }

    /// Looks at how a call was answered.
    pub(super) fn notice_answer(&self, record: &mut Record, status: u16, now: Now) {
        if record.behaviour.answer(status) {
            self.charge_notice(record, Notice::Errors, now);
        }
    }

    /// Compares what the first call of a session says of its browser with how it opened TLS, where that is seen.
    pub(super) fn notice_program(&self, record: &mut Record, request: &Request<'_>, now: Now) {
        let contradicts = |fingerprint: Fingerprint| fingerprint.contradicts(agent(request.headers));
        if request.fingerprint.is_some_and(contradicts) {
            self.charge_quietly(record, Signal::TlsContradiction, now);
        }
    }

    /// Counts the first call of a session. More of them than people open makes the source suspect: it has to work for the
    /// next ones.
    pub(super) fn notice_session(&self, session: SessionId, request: &Request<'_>, now: Now) {
        let client = client_mark(request);
        if self.campaigns.count(client, self.policy.thresholds.campaigns, now.mono) {
            let points = self.policy.weights.session_farm;
            let line = line_of(Signal::SessionFarm, points, session, now);
            let _ = self
                .sources
                .charge(request.client.source(), line, self.fading(), now.mono);
        }
    }

    fn charge_notice(&self, record: &mut Record, notice: Notice, now: Now) {
        let signal = match notice {
            Notice::Rhythm => Signal::RoboticTiming,
            Notice::Alike => Signal::IdenticalCalls,
            Notice::Errors => Signal::ErrorRatio,
        };
        if signal.weight(&self.policy.weights) > 0.0 && record.counts(notice, now.mono) {
            self.charge_quietly(record, signal, now);
        }
    }

    /// Adds points for a call that passes. They are judged at the next one.
    pub(super) fn charge_quietly(&self, record: &mut Record, signal: Signal, now: Now) {
        let points = signal.weight(&self.policy.weights);
        let line = line_of(signal, points, record.id, now);
        record.charge(line, self.policy.thresholds.half_life, now.mono);
        record.unjudged += points;
        if points > 0.0 {
            self.recorder.suspect(record.id);
        }
    }
}
