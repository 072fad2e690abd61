//! What the control socket speaks: the JSON shapes that the server writes and the client reads.
//!
//! Plain data only. Times are RFC 3339 in UTC; spans are whole seconds in a field that ends in `_seconds`. New fields
//! may appear within `/v1`; existing ones neither change nor go.

mod allow;
mod ban;
mod event;
mod import;
mod incident;
mod mode;
mod moment;
mod network;
mod problem;
mod recording;
mod reload;
mod rules;
mod session;
mod stats;
mod status;

pub use allow::{AllowAdded, AllowList, AllowRequest, Allowed};
pub use ban::{
    Ban, BanAdded, BanCheck, BanEdit, BanList, BanQuery, BanRequest, CheckedBan, Hits, KernelEntry, Verdict,
};
pub use event::{Event, EventKind};
pub use import::{
    Audit, Deed, Flushed, ImportPhase, ImportUnderWay, Imported, ImportsUnderWay, LeftOut, StoreReport, Undone,
};
pub use incident::{Incident, IncidentList};
pub use mode::{ConfirmRequest, Ended, ModeRequest, ModeState, TakenBack, Trial};
pub use moment::Moment;
pub use network::{AddressError, parse_address, parse_network};
pub use problem::{Code, Problem};
pub use recording::{RecordedCall, RecordedCalls, Recording, RecordingRequest};
pub use reload::{Change, Reloaded};
pub use rules::{ReloadRequest, Rule, RuleList, RulesDiffer};
pub use session::{
    KeyRotated, PointLine, Session, SessionEnded, SessionEvent, SessionList, SessionRestored, SessionState,
    SessionTimeline,
};
pub use stats::{Offender, RecentRefusal, RuleCount, Stats, WorstSession};
pub use status::{
    BanCount, CallCount, ConnectionCount, Enforcement, Interface, ListeningPlace, Mode, PacketCount, PacketLayer,
    Process, SharedFacts, Status, Tables,
};

/// What every path of this version begins with.
pub const PREFIX: &str = "/v1";
