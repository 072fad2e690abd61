//! How an enforcer comes and goes: in one process, or with a helper that keeps the privilege.

use std::{
    path::Path,
    process::{Child, Command},
    sync::{Mutex, PoisonError},
};

use super::{
    AttachOptions, Enforcer, EnforcerError, Growth, InterfaceChanges, InterfaceStatus, Tables,
    apart::Messenger,
    counters::CounterTable,
    events::Events,
    ground::Ground,
    hands::Hands,
    holder::{Holder, Offer},
    lock,
    maps::Maps,
    pins::Pins,
    probe,
    settings::Settings,
    table::Source,
};

impl Enforcer {
    /// Loads the program and attaches it to every interface of `options`, or to none of them if
    /// one refuses. No interface at all is fine: tests and benches run frames without a network.
    pub fn attach(options: &AttachOptions) -> Result<Self, EnforcerError> {
        let changes = open_changes()?;
        let (holder, offer) = Holder::start(options, Ground::prepare(options)?)?;
        let attached = holder.attachment.interfaces();
        Self::open(options, changes, Hands::Own(Box::new(holder)), attached, &offer)
    }

    /// The same by a helper, which `helper` starts and [`Helper`](super::Helper) is. It keeps the program and the privilege to
    /// change it: this process holds maps only, and may give up every privilege from then on.
    pub fn attach_apart(options: &AttachOptions, helper: Command) -> Result<Self, EnforcerError> {
        let changes = open_changes()?;
        let (messenger, child, offer, attached) = Messenger::start(helper, options)?;
        let enforcer = Self::open(options, changes, Hands::Apart(messenger), attached, &offer)?;
        *lock(&enforcer.helper) = Some(child);
        Ok(enforcer)
    }

    fn open(
        options: &AttachOptions,
        changes: InterfaceChanges,
        hands: Hands,
        attached: Vec<InterfaceStatus>,
        offer: &Offer,
    ) -> Result<Self, EnforcerError> {
        let source = Source::Handed(&offer.maps);
        let settings = Settings::adopt(&source)?;
        let tables = Tables {
            maps: Maps::open(&source, settings.geometry(), &offer.capacities)?,
            settings,
            capacities: offer.capacities,
        };
        Ok(Self {
            tables: Mutex::new(tables),
            counters: CounterTable::open(&source)?,
            events: Mutex::new(Some(Events::open(&offer.maps)?)),
            interface_changes: Mutex::new(Some(changes)),
            hands: Mutex::new(hands),
            helper: Mutex::new(None),
            attached: Mutex::new(attached),
            growth: Mutex::new(Growth::default()),
            wanted: options.interfaces.clone(),
            syn_cookies: probe::has_syn_cookies(),
        })
    }

    /// The helper, for whoever waits for its end; `None` if there is none, and from the second call on.
    pub fn take_helper(&self) -> Option<Child> {
        lock(&self.helper).take()
    }

    /// Lets the helper end, after which nothing can be attached or grow. Without pins the program leaves with it.
    pub fn release_helper(&self) {
        match &*lock(&self.hands) {
            Hands::Own(_) => {}
            Hands::Apart(messenger) => messenger.release(),
        }
    }

    /// Detaches the program everywhere and leaves nothing behind, pinned or not.
    ///
    /// # Errors
    /// If a file of it cannot be removed, or a helper holds it: then [`detach_pinned`](Self::detach_pinned) can, later.
    pub fn detach(self) -> Result<(), EnforcerError> {
        match self.hands.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Hands::Own(holder) => holder.detach(),
            Hands::Apart(messenger) => {
                messenger.release();
                Ok(())
            }
        }
    }

    /// The same for what an earlier process pinned there.
    pub fn detach_pinned(pins: &Path) -> Result<(), EnforcerError> {
        Pins::open(pins)?.remove()
    }
}

fn open_changes() -> Result<InterfaceChanges, EnforcerError> {
    InterfaceChanges::open().map_err(|error| EnforcerError::Attach {
        interface: "(all)".to_owned(),
        reason: format!("changes of interfaces cannot be followed: {error}"),
    })
}
