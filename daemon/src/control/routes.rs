//! Every path of the control API, once: the server answers no other, and the OpenAPI document describes these.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::api::{
    AllowAdded, AllowList, AllowRequest, Allowed, Audit, Ban, BanAdded, BanCheck, BanEdit, BanList, BanRequest,
    ConfirmRequest, Ended, Event, Flushed, Imported, ImportsUnderWay, Incident, IncidentList, KeyRotated, ModeRequest,
    ModeState, RecordedCalls, Recording, RecordingRequest, ReloadRequest, Reloaded, RuleList, RulesDiffer,
    SessionEnded, SessionList, SessionRestored, SessionTimeline, Stats, Status, StoreReport, Undone,
};

/// Where events are followed.
pub(super) const EVENTS: &str = "/v1/events";
/// Where the document is.
pub(super) const DOCUMENT: &str = "/openapi.json";

/// The schema of a shape.
type Shape = fn(&mut SchemaGenerator) -> Schema;

/// A method of a path.
#[derive(Clone, Copy)]
pub(super) struct Route {
    /// In capitals.
    pub(super) method: &'static str,
    /// From the root; a segment in braces is a parameter.
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) query: &'static [Parameter],
    pub(super) body: Body,
    pub(super) status: u16,
    pub(super) answer: Answer,
}

/// A parameter of the query.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) what: &'static str,
}

/// What a parameter is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Number,
    Flag,
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Body {
    None,
    Json(Shape),
    /// It may be left out.
    JsonIfAny(Shape),
    /// A list in one of the formats that are known.
    List,
}

/// What comes back.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Json(Shape),
    /// One object a line, without an end.
    Lines(Shape),
    /// This document.
    Document,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn text(name: &'static str, what: &'static str) -> Parameter {
    Parameter {
        name,
        kind: Kind::Text,
        required: false,
        what,
    }
}

const fn needed(name: &'static str, what: &'static str) -> Parameter {
    Parameter {
        required: true,
        ..text(name, what)
    }
}

const fn number(name: &'static str, what: &'static str) -> Parameter {
    Parameter {
        kind: Kind::Number,
        ..text(name, what)
    }
}

const fn flag(name: &'static str, what: &'static str) -> Parameter {
    Parameter {
        kind: Kind::Flag,
        ..text(name, what)
    }
}

const NETWORK: &[Parameter] = &[needed("network", "an address or a network")];
const LIMIT: &[Parameter] = &[number("limit", "at most so many")];
const FROM: &[Parameter] = &[number("from", "from this one on")];
const HOLDER: &[Parameter] = &[
    text("origin", "those by `operator`, `score`, `rate` or `list`"),
    text("list", "those of an imported list"),
];
const BANS: &[Parameter] = &[
    text("origin", "those by `operator`, `score`, `rate` or `list`"),
    text("list", "those of an imported list"),
    text("within", "those inside a network"),
    text("text", "those with this text in their reason or operator"),
    text(
        "sort",
        "`network`, `until` (the first to end first) or `since` (the newest first)",
    ),
    number("limit", "at most so many"),
    text("after", "by network, those behind this one"),
];
const IMPORT: &[Parameter] = &[
    text(
        "list",
        "the list's name: what it banned before and does not name now is let go",
    ),
    number("for_seconds", "for how long, where the list does not say"),
    text("reason", "why, where the list does not say"),
    text(
        "origin",
        "`operator`, `score`, `rate` or `list`, where the list does not say; not with `list`",
    ),
    flag(
        "force",
        "take very wide networks, and a list that lost more than half of its entries",
    ),
    flag("dry_run", "tell what it would do, and do nothing"),
    text(
        "caller",
        "from where the operator is logged in: entries that cover it are left out",
    ),
];

const fn route(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    answer: Shape,
) -> Route {
    Route {
        method,
        path,
        id,
        summary,
        query: &[],
        body: Body::None,
        status: 200,
        answer: Answer::Json(answer),
    }
}

const fn get(path: &'static str, id: &'static str, summary: &'static str, answer: Shape) -> Route {
    route("GET", path, id, summary, answer)
}

const fn post(path: &'static str, id: &'static str, summary: &'static str, answer: Shape) -> Route {
    route("POST", path, id, summary, answer)
}

const fn delete(path: &'static str, id: &'static str, summary: &'static str, answer: Shape) -> Route {
    route("DELETE", path, id, summary, answer)
}

impl Route {
    const fn asking(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    const fn taking(self, body: Body) -> Self {
        Self { body, ..self }
    }

    const fn creating(self) -> Self {
        Self { status: 201, ..self }
    }

    const fn answering(self, answer: Answer) -> Self {
        Self { answer, ..self }
    }

    /// Whether this is the path.
    fn leads(&self, path: &str) -> bool {
        let (mut ours, mut theirs) = (self.path.split('/'), path.split('/'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(ours), Some(theirs)) if ours == theirs || (ours.starts_with('{') && !theirs.is_empty()) => {}
                (Some(_) | None, Some(_) | None) => return false,
            }
        }
    }
}

/// What a method and a path lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Somebody answers.
    Open,
    /// Not to this method.
    OtherMethod,
    /// There is nothing.
    Nowhere,
}

pub(super) fn find(method: &str, path: &str) -> Way {
    let mut here = ROUTES.iter().filter(|route| route.leads(path));
    match (here.clone().next(), here.any(|route| route.method == method)) {
        (None, _) => Way::Nowhere,
        (Some(_), true) => Way::Open,
        (Some(_), false) => Way::OtherMethod,
    }
}

/// All of them.
pub(super) static ROUTES: &[Route] = &[
    get(DOCUMENT, "document", "This document.", of::<serde_json::Value>).answering(Answer::Document),
    get("/v1/status", "status", "What the gate does, compared with the kernel.", of::<Status>),
    post("/v1/verify", "verify", "The same, after the kernel was compared with the ban list and repaired.", of::<Status>),
    get("/v1/stats", "stats", "What live views show: cheap enough for once a second.", of::<Stats>),
    get(EVENTS, "events", "What happens from here on, a JSON object a line. An empty line is a sign of life; a reader that is too slow gets a `lost` event.", of::<Event>)
        .answering(Answer::Lines(of::<Event>)),
    get("/v1/bans", "listBans", "The bans in force.", of::<BanList>).asking(BANS),
    post("/v1/bans", "addBan", "Bans a network, or changes its ban. Answered when it is on the disk and in the kernel.", of::<BanAdded>)
        .taking(Body::Json(of::<BanRequest>))
        .creating(),
    route("PATCH", "/v1/bans", "editBan", "Changes the end or the reason of a ban, whoever wanted it.", of::<Ban>)
        .asking(NETWORK)
        .taking(Body::Json(of::<BanEdit>)),
    delete("/v1/bans", "deleteBan", "Ends a ban.", of::<Ban>).asking(NETWORK),
    delete("/v1/bans/all", "flushBans", "Ends many bans.", of::<Flushed>).asking(HOLDER),
    post("/v1/bans/import", "importBans", "Bans what a list names, by difference: what stays listed is banned at every moment.", of::<Imported>)
        .asking(IMPORT)
        .taking(Body::List),
    get("/v1/bans/import", "listImports", "Imports under way.", of::<ImportsUnderWay>),
    get("/v1/bans/check", "checkAddress", "What happens to an address, and why.", of::<BanCheck>)
        .asking(&[needed("address", "one address")]),
    get("/v1/allow", "listAllowed", "The never-ban set.", of::<AllowList>),
    post("/v1/allow", "addAllowed", "Never bans a network; bans inside it end.", of::<AllowAdded>)
        .taking(Body::Json(of::<AllowRequest>))
        .creating(),
    delete("/v1/allow", "deleteAllowed", "Takes a network out of the never-ban set.", of::<Allowed>).asking(NETWORK),
    post("/v1/undo", "undo", "Takes the last change of bans or exemptions back.", of::<Undone>),
    get("/v1/audit", "audit", "What operators did, the newest first.", of::<Audit>).asking(LIMIT),
    post("/v1/store/check", "checkStore", "Reads all of the store.", of::<StoreReport>),
    post("/v1/store/compact", "compactStore", "Gives back what the store does not need.", of::<StoreReport>),
    get("/v1/rules", "listRules", "The rules in force.", of::<RuleList>),
    post("/v1/rules/reload", "reloadRules", "Reads the rules anew; wrong ones leave those in force.", of::<RulesDiffer>)
        .taking(Body::JsonIfAny(of::<ReloadRequest>)),
    post(
        "/v1/reload",
        "reload",
        "Reads the whole configuration anew; a wrong one leaves the running one.",
        of::<Reloaded>,
    )
    .taking(Body::JsonIfAny(of::<ReloadRequest>)),
    get("/v1/recording", "recording", "How the recording of calls goes.", of::<Recording>),
    post("/v1/recording", "record", "Records calls that rules are learned from.", of::<Recording>)
        .taking(Body::Json(of::<RecordingRequest>)),
    delete("/v1/recording", "forgetRecording", "Ends and forgets the recording.", of::<()>),
    get("/v1/recording/calls", "recordedCalls", "Some of the calls that were recorded.", of::<RecordedCalls>).asking(FROM),
    get("/v1/mode", "mode", "Whether verdicts have consequences.", of::<ModeState>),
    post("/v1/mode", "changeMode", "Changes that until the next start.", of::<ModeState>)
        .taking(Body::Json(of::<ModeRequest>)),
    post("/v1/confirm", "confirm", "Lets a change stand that is on trial, or takes it back.", of::<Ended>)
        .taking(Body::JsonIfAny(of::<ConfirmRequest>)),
    get("/v1/sessions", "listSessions", "The sessions that the gate remembers.", of::<SessionList>),
    delete("/v1/sessions/{id}", "revokeSession", "Ends a session for good.", of::<SessionEnded>),
    get("/v1/sessions/{id}/timeline", "sessionTimeline", "What a session did and what was said to it.", of::<SessionTimeline>),
    post("/v1/sessions/{id}/restore", "restoreSession", "Takes the end of a session back.", of::<SessionRestored>),
    post("/v1/session-keys", "rotateKey", "Seals session ids under a new key.", of::<KeyRotated>),
    get("/v1/incidents", "listIncidents", "The last refusals, the newest first.", of::<IncidentList>).asking(LIMIT),
    get("/v1/incidents/{reference}", "incident", "One refusal, explained.", of::<Incident>),
];
