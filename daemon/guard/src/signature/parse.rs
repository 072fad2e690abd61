//! `Signature-Input` and `Signature` read in one pass over borrowed text, by the visitors of the `sfv` crate.
//!
//! A parsed dictionary would do, but it silently keeps the last of two equal labels (RFC 8941 section 4.2.2), and a
//! doubled label is what somebody sends who hopes that two readers disagree.

use std::borrow::Cow;
use std::convert::Infallible;

use sfv::visitor::{DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ParameterVisitor};
use sfv::{BareItemFromInput, ItemSerializer, KeyRef};

/// Components, and parameters, that one signature may have; ours have six at most. What is looked through again and
/// again must be short.
const MOST_ITEMS: usize = 32;

/// One member of `Signature-Input`.
#[derive(Debug, Default)]
pub(super) struct Member<'a> {
    pub(super) label: &'a str,
    /// Names of covered components, in order; `None` marks one with parameters or of a wrong type.
    pub(super) components: Vec<Option<Cow<'a, str>>>,
    pub(super) created: Option<i64>,
    pub(super) expires: Option<i64>,
    pub(super) nonce: Option<Cow<'a, str>>,
    pub(super) keyid: Option<Cow<'a, str>>,
    pub(super) alg: Option<Cow<'a, str>>,
    pub(super) tag: Option<Cow<'a, str>>,
    /// Of the body; tickets alone have it.
    pub(super) digest: Option<Cow<'a, str>>,
    /// A known parameter had a value of the wrong type, or one appeared twice.
    pub(super) malformed: bool,
    /// The inner list and its parameters in strict serialisation (RFC 9421 section 2.3), in the client's order.
    pub(super) serialised: String,
    seen: Vec<&'a str>,
}

/// All members of a `Signature-Input` field, equal labels included.
#[derive(Default)]
pub(super) struct InputMembers<'a>(Vec<Member<'a>>);

/// Labels and bytes of a `Signature` field; `None` where a member is no byte sequence.
pub(super) type Signatures<'a> = Vec<(&'a str, Option<Vec<u8>>)>;

/// All members of a `Signature` field, equal labels included.
#[derive(Default)]
pub(super) struct SignatureMembers<'a>(Signatures<'a>);

/// Reads a `Signature-Input` field. `None` if it is no dictionary.
pub(super) fn signature_input(field: &[u8]) -> Option<Vec<Member<'_>>> {
    sfv::Parser::new(field)
        .parse_dictionary_with_visitor(InputMembers::default())
        .ok()
}

/// Reads a field whose members are byte sequences, like `Signature` or `Content-Digest`. `None` if it is no dictionary.
pub(super) fn byte_sequences(field: &[u8]) -> Option<Signatures<'_>> {
    sfv::Parser::new(field)
        .parse_dictionary_with_visitor(SignatureMembers::default())
        .ok()
}

impl<'a> DictionaryVisitor<'a> for InputMembers<'a> {
    type Out = Vec<Member<'a>>;
    type Error = Infallible;

    fn entry(&mut self, key: &'a KeyRef) -> Result<impl EntryVisitor<'a>, Infallible> {
        self.0.push(Member::new(key.as_str()));
        Ok(self.0.last_mut())
    }

    fn finish(self) -> Result<Self::Out, Infallible> {
        Ok(self.0)
    }
}

impl<'a> EntryVisitor<'a> for &mut Member<'a> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'a>, Infallible> {
        self.malformed = true;
        Ok(NoList(self))
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'a>, Infallible> {
        self.serialised.push('(');
        Ok(self)
    }
}

/// A member without a list of components. Its tag still tells whether it was meant for us.
struct NoList<'m, 'a>(&'m mut Member<'a>);

impl<'a> ItemVisitor<'a> for NoList<'_, 'a> {
    type Out = ();
    type Error = Infallible;

    fn bare_item(self, _: BareItemFromInput<'a>) -> Result<impl ParameterVisitor<'a, Out = ()>, Infallible> {
        Ok(self.0)
    }
}

impl<'a> InnerListVisitor<'a> for &mut Member<'a> {
    type Error = Infallible;

    fn item(&mut self) -> Result<impl ItemVisitor<'a>, Infallible> {
        Ok(Component(self))
    }

    fn finish(self) -> Result<impl ParameterVisitor<'a>, Infallible> {
        self.serialised.push(')');
        Ok(self)
    }
}

impl<'a> ParameterVisitor<'a> for &mut Member<'a> {
    type Out = ();
    type Error = Infallible;

    fn parameter(&mut self, key: &'a KeyRef, value: BareItemFromInput<'a>) -> Result<(), Infallible> {
        let name = key.as_str();
        if self.seen.len() < MOST_ITEMS && !self.seen.contains(&name) {
            self.seen.push(name);
        } else {
            self.malformed = true;
        }
        self.serialised.push(';');
        self.serialised.push_str(name);
        if value.as_boolean() != Some(true) {
            self.serialised.push('=');
            ItemSerializer::with_buffer(&mut self.serialised).bare_item(&value);
        }
        self.keep(name, value);
        Ok(())
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<'a> Member<'a> {
    /// With room for what our own clients send.
    fn new(label: &'a str) -> Self {
        Self {
            label,
            components: Vec::with_capacity(6),
            seen: Vec::with_capacity(6),
            serialised: String::with_capacity(320),
            ..Self::default()
        }
    }

    /// Keeps a parameter of RFC 9421 section 2.3; others are signed but mean nothing to us.
    fn keep(&mut self, name: &str, value: BareItemFromInput<'a>) {
        let understood = match name {
            "created" => keep_in(&mut self.created, value.as_integer().map(i64::from)),
            "expires" => keep_in(&mut self.expires, value.as_integer().map(i64::from)),
            "nonce" => keep_in(&mut self.nonce, text(value)),
            "keyid" => keep_in(&mut self.keyid, text(value)),
            "alg" => keep_in(&mut self.alg, text(value)),
            "tag" => keep_in(&mut self.tag, text(value)),
            "digest" => {
                self.digest = text(value);
                true
            }
            _ => true,
        };
        self.malformed |= !understood;
    }
}

/// The text of a string item; borrowed unless it has escapes.
fn text(value: BareItemFromInput<'_>) -> Option<Cow<'_, str>> {
    let BareItemFromInput::String(text) = value else {
        return None;
    };
    Some(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_str()),
        Cow::Owned(text) => Cow::Owned(text.into()),
    })
}

fn keep_in<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    *slot = value;
    slot.is_some()
}

/// A covered component while it is read.
struct Component<'m, 'a>(&'m mut Member<'a>);

impl<'a> ItemVisitor<'a> for Component<'_, 'a> {
    type Out = ();
    type Error = Infallible;

    fn bare_item(self, value: BareItemFromInput<'a>) -> Result<impl ParameterVisitor<'a, Out = ()>, Infallible> {
        let Self(member) = self;
        if member.components.len() == MOST_ITEMS {
            member.malformed = true;
            return Ok(ComponentParameters(member));
        }
        if !member.components.is_empty() {
            member.serialised.push(' ');
        }
        ItemSerializer::with_buffer(&mut member.serialised).bare_item(&value);
        member.components.push(text(value));
        Ok(ComponentParameters(member))
    }
}

/// The parameters of a covered component: the profile knows none, so one is enough to refuse the component.
struct ComponentParameters<'m, 'a>(&'m mut Member<'a>);

impl<'a> ParameterVisitor<'a> for ComponentParameters<'_, 'a> {
    type Out = ();
    type Error = Infallible;

    fn parameter(&mut self, _: &'a KeyRef, _: BareItemFromInput<'a>) -> Result<(), Infallible> {
        if let Some(component) = self.0.components.last_mut() {
            *component = None;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<'a> DictionaryVisitor<'a> for SignatureMembers<'a> {
    type Out = Signatures<'a>;
    type Error = Infallible;

    fn entry(&mut self, key: &'a KeyRef) -> Result<impl EntryVisitor<'a>, Infallible> {
        self.0.push((key.as_str(), None));
        Ok(Bytes(self.0.last_mut().map(|(_, bytes)| bytes)))
    }

    fn finish(self) -> Result<Self::Out, Infallible> {
        Ok(self.0)
    }
}

struct Bytes<'m>(Option<&'m mut Option<Vec<u8>>>);

impl<'a> EntryVisitor<'a> for Bytes<'_> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'a>, Infallible> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'a>, Infallible> {
        Ok(Ignored)
    }
}

impl<'a> ItemVisitor<'a> for Bytes<'_> {
    type Out = ();
    type Error = Infallible;

    fn bare_item(self, value: BareItemFromInput<'a>) -> Result<impl ParameterVisitor<'a, Out = ()>, Infallible> {
        if let (Some(slot), BareItemFromInput::ByteSequence(bytes)) = (self.0, value) {
            *slot = Some(bytes);
        }
        Ok(Ignored)
    }
}
