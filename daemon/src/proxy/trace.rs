//! Where a call is in a distributed trace (W3C Trace Context): the gate is one span of it, between the client and the
//! application.

use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Span;
use tracing::field::{Empty, display};

use crate::random;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The flags that version 00 knows: sampled, and (level 2) random.
const KNOWN_FLAGS: u8 = 0b11;

/// A call in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    trace: u128,
    /// Whose call the gate's part is of; `None`: the trace begins here.
    parent: Option<u64>,
    span: u64,
    flags: u8,
}

impl Trace {
    /// A call that comes from a trusted proxy goes on with the proxy's trace. Any other begins one here, as long as nobody
    /// answers for it.
    pub(super) fn of(headers: &HeaderMap, is_proxy: bool) -> Self {
        let goes_on = Self::told_by(headers).filter(|_| is_proxy);
        goes_on.unwrap_or_else(|| Self {
            trace: u128::from(word()) << 64 | u128::from(word() | 1),
            parent: None,
            span: word() | 1,
            flags: 0,
        })
    }

    /// The trace of a call that may pass: a signed one goes on with that of its client. The log learns of it.
    pub(super) fn settled(self, is_signed: bool, headers: &HeaderMap) -> Self {
        if self.parent.is_some() {
            return self;
        }
        let told = Self::told_by(headers).filter(|_| is_signed);
        let settled = told.map_or(self, |told| Self {
            span: self.span,
            ..told
        });
        settled.tell(&Span::current());
        settled
    }

    /// What a call says of it: `00-TRACE-PARENT-FLAGS`, once, in hexadecimal, and not all zero. Later versions may say
    /// more behind it.
    fn told_by(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (value, None) = (values.next()?, values.next()) else {
            return None;
        };
        let mut parts = value.to_str().ok()?.splitn(5, '-');
        let (version, trace) = (number(parts.next()?, 2)?, parts.next()?);
        let (parent, flags) = (number(parts.next()?, 16)?, number(parts.next()?, 2)?);
        let (high, low) = trace.split_at_checked(16)?;
        let trace = u128::from(number(high, 16)?) << 64 | u128::from(number(low, 16)?);
        let is_known = match version {
            0 => parts.next().is_none(),
            0xff => false,
            _ => true,
        };
        let flags = u8::try_from(flags).ok()? & KNOWN_FLAGS;
        (is_known && trace != 0 && parent != 0).then_some(Self {
            trace,
            parent: Some(parent),
            span: word() | 1,
            flags,
        })
    }

    /// The gate's part, for the log.
    pub(super) fn span(self) -> Span {
        let span = tracing::info_span!(
            "call",
            trace_id = Empty,
            span_id = format_args!("{:016x}", self.span),
            parent_id = Empty
        );
        if self.parent.is_some() {
            self.tell(&span);
        }
        span
    }

    fn tell(self, span: &Span) {
        span.record("trace_id", display(format_args!("{:032x}", self.trace)));
        if let Some(parent) = self.parent {
            span.record("parent_id", display(format_args!("{parent:016x}")));
        }
    }

    /// Tells the application. What others keep beside the trace stays as it is; of a trace that begins here nobody can
    /// have kept anything.
    pub(super) fn put_into(self, headers: &mut HeaderMap) {
        let Self { trace, span, flags, .. } = self;
        let text = format!("00-{trace:032x}-{span:016x}-{flags:02x}");
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(TRACEPARENT, value);
        }
        if self.parent.is_none() {
            headers.remove(TRACESTATE);
        }
    }
}

fn word() -> u64 {
    random::reference().0
}

/// So many digits in lower case.
fn number(text: &str, digits: usize) -> Option<u64> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let has_form = text.len() == digits && text.bytes().all(is_hex);
    u64::from_str_radix(text, 16).ok().filter(|_| has_form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([
            (TRACEPARENT, HeaderValue::from_str(value).unwrap()),
            (TRACESTATE, HeaderValue::from_static("vendor=1")),
        ])
    }

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_a_whole_traceparent_is_gone_on_with() {
        let parent = |value: &str| Trace::of(&headers(value), true).parent;
        assert_eq!(parent(GOOD), Some(0x00f0_67aa_0ba9_02b7));
        assert_eq!(parent(&GOOD.replacen("00-", "cc-", 1)), Some(0x00f0_67aa_0ba9_02b7));
        assert!(parent(&format!("{}-more", GOOD.replacen("00-", "cc-", 1))).is_some());
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parent(bad), None, "{bad}");
        }
        let mut twice = headers(GOOD);
        twice.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(Trace::of(&twice, true).parent, None);
    }

    #[test]
    fn the_application_becomes_a_child_of_the_gate() {
        let mut fields = headers(GOOD);
        let trace = Trace::of(&fields, true);
        trace.put_into(&mut fields);
        let told = Trace::of(&fields, true);
        assert_eq!(
            (told.trace, told.parent, told.flags),
            (trace.trace, Some(trace.span), 1)
        );
        assert_eq!(fields[TRACESTATE], "vendor=1");
    }

    #[test]
    fn strangers_begin_a_trace_and_signed_calls_go_on_with_theirs() {
        let mut fields = headers(GOOD);
        let trace = Trace::of(&fields, false);
        assert_eq!((trace.parent, trace.flags), (None, 0));
        assert_eq!(trace.settled(false, &fields), trace);
        let signed = trace.settled(true, &fields);
        assert_eq!((signed.parent, signed.span), (Some(0x00f0_67aa_0ba9_02b7), trace.span));
        trace.put_into(&mut fields);
        assert!(!fields.contains_key(TRACESTATE));
        assert!(Trace::of(&fields, true).parent.is_some(), "what is written can be read");
    }
}
