//! Holds the program, its links and its pins: everything about the packet layer that takes privilege. Who holds the maps
//! alone can ban and lift; who holds this can attach, swap and grow.

use portcullis_common::maps;

use super::{
    AttachOptions, Capacities, EnforcerError, InterfaceStatus, TestRun, attach,
    attachment::Attachment,
    debug_log, geometry,
    ground::Ground,
    growth,
    handed::Handed,
    object,
    pins::{self, MAPS, Pins},
    probe,
    settings::Settings,
    start,
    table::Source,
};

/// Maps that go on without being pinned.
const PASSING: [&str; 2] = [maps::EVENTS, maps::RATES];

/// The program, where it is attached, and where it has its names.
pub(super) struct Holder {
    pub(super) attachment: Attachment,
    /// The maps of the program that is attached.
    current: Handed,
    larger: Option<Larger>,
    options: AttachOptions,
    /// The last to go: whoever waits for its lock finds that nothing is held any more.
    ground: Ground,
}

/// Maps to write verdicts to.
pub(super) struct Offer {
    pub(super) maps: Handed,
    pub(super) capacities: Capacities,
}

/// A program on larger tables that is attached nowhere yet.
struct Larger {
    program: aya::Ebpf,
    maps: Handed,
    capacities: Capacities,
}

impl Holder {
    /// Loads the program and attaches it, or takes over what an earlier process left.
    pub(super) fn start(options: &AttachOptions, ground: Ground) -> Result<(Self, Offer), EnforcerError> {
        object::bytes()?;
        probe::check()?;
        let started = start::run(options, &ground)?;
        let offer = Offer {
            maps: Handed::of(started.attachment.program())?,
            capacities: started.options.capacities,
        };
        let holder = Self {
            attachment: started.attachment,
            current: Handed::of_all(&offer.maps)?,
            larger: None,
            options: started.options,
            ground,
        };
        Ok((holder, offer))
    }

    /// Looks at all interfaces. Tells where the program is attached now, and the first refusal.
    pub(super) fn refresh(&mut self) -> (Vec<InterfaceStatus>, Result<(), EnforcerError>) {
        let outcome = self.attachment.refresh(&self.options, self.ground.pins());
        (self.attachment.interfaces(), outcome)
    }

    /// Loads a program on tables for so many hosts.
    pub(super) fn prepare_larger(&mut self, hosts: u32) -> Result<Offer, EnforcerError> {
        let from = self.options.capacities;
        if hosts <= from.hosts || hosts > from.hosts_limit {
            return Err(EnforcerError::MayNotGrow {
                from: from.hosts,
                to: hosts,
                reason: format!("packet.max_bans_limit is {}", from.hosts_limit),
            });
        }
        self.give_up();
        let mut settings = Settings::adopt(&Source::Handed(&self.current))?;
        let earlier = *settings.geometry();
        let (geometry, capacities) = geometry::not_below(&growth::scaled(&from, hosts), &earlier);
        growth::check_memory(&from, &capacities, geometry::bytes(&geometry, &capacities))?;
        growth::check_privilege(&from, &capacities)?;
        let place = self.ground.start_next(&from, &capacities)?;
        self.attachment.share(&place, geometry.hit_cells == earlier.hit_cells)?;
        let options = AttachOptions {
            capacities,
            ..self.options.clone()
        };
        let named: Vec<&'static str> = MAPS.into_iter().chain(PASSING).collect();
        let mut program = attach::load(&options, &geometry, Some((&place, &named)))?;
        if options.debug {
            debug_log::follow(&mut program)?;
        }
        let maps = Handed::of(&program)?;
        settings = settings.moved_to(&Source::Handed(&maps), &geometry)?;
        drop(settings);
        let offer = Offer {
            maps: Handed::of_all(&maps)?,
            capacities,
        };
        self.larger = Some(Larger {
            program,
            maps,
            capacities,
        });
        Ok(offer)
    }

    /// Puts the program on larger tables in the place of the other, on every interface or, after an error, on none.
    pub(super) fn swap_in(&mut self) -> Result<(), EnforcerError> {
        let Some(larger) = self.larger.take() else {
            return Err(EnforcerError::Load {
                reason: "no larger tables were made".to_owned(),
            });
        };
        let mut next = Attachment::new(larger.program)?;
        let named = match self.ground.pins() {
            Some(pins) => Some((pins, pins.finish_next(next.fd()?)?)),
            None => None,
        };
        // From here on the kernel looks into the larger tables.
        if let Err(error) = next.take_links(&mut self.attachment) {
            if let Some((_, path)) = &named {
                pins::remove_directory(path)?;
            }
            return Err(error);
        }
        self.attachment = next;
        self.current = larger.maps;
        self.options.capacities = larger.capacities;
        match named {
            Some((pins, path)) => pins.keep_only(&path)?,
            None => self.ground.drop_next(),
        }
        Ok(())
    }

    /// Forgets larger tables that were made and not taken.
    pub(super) fn give_up(&mut self) {
        self.larger = None;
        self.ground.drop_next();
    }

    pub(super) fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun, EnforcerError> {
        self.attachment.test_run(frame, repeat)
    }

    /// Detaches the program everywhere and leaves nothing behind.
    pub(super) fn detach(self) -> Result<(), EnforcerError> {
        drop(self.attachment);
        match self.ground {
            Ground::Pins(pins) => Pins::remove(pins),
            Ground::Hidden(_) => Ok(()),
        }
    }
}
