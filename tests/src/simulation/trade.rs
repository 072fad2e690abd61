//! What is sold: three applications of the same shape, with the paths that their rules name.

use anyhow::Result;
use http::Method;
use portcullis::config::Config;
use portcullis_guard::policy::Policy;

/// One application and the rules that protect it.
#[derive(Debug)]
pub struct Scenario {
    /// Its short name, which is that of its rule file.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// The rule file.
    pub rules: &'static str,
    list: &'static str,
    item: &'static str,
    detail: &'static str,
    prepare: (Method, &'static str),
    commit: &'static str,
    /// What goes into the body of the last call; `#` is the id.
    commit_body: &'static str,
    /// What an abuser gains by one such call.
    pub prize: &'static str,
}

/// A call of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// What there is.
    List,
    /// One of it.
    Item(u32),
    /// More about it, in the same page.
    Detail(u32),
    /// The user logs in; the application finds the password right or wrong.
    Login { user: u32, right: bool },
    /// On the way to the last step.
    Prepare(u32),
    /// The last step: pay, transfer, buy. The application may refuse.
    Commit { id: u32, works: bool },
}

/// A request for the application, and what it answers.
pub(super) struct Sent {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: String,
    pub(super) status: u16,
}

/// The three examples of docs/examples.
pub static SCENARIOS: [Scenario; 3] = [
    Scenario {
        name: "shop",
        title: "Shop checkout",
        rules: include_str!("../../../docs/examples/shop.toml"),
        list: "/api/products",
        item: "/api/products/#",
        detail: "/api/products/#/reviews",
        prepare: (Method::GET, "/api/orders/#"),
        commit: "/api/orders/#/pay",
        commit_body: "{\"method\":\"card\"}",
        prize: "paid orders",
    },
    Scenario {
        name: "bank",
        title: "Bank transfer",
        rules: include_str!("../../../docs/examples/bank.toml"),
        list: "/api/accounts",
        item: "/api/accounts/#/bookings",
        detail: "/api/accounts/#/limits",
        prepare: (Method::GET, "/api/accounts/#/balance"),
        commit: "/api/transfers",
        commit_body: "{\"from_account\":#,\"amount\":10}",
        prize: "transfers",
    },
    Scenario {
        name: "tickets",
        title: "Ticket sale",
        rules: include_str!("../../../docs/examples/tickets.toml"),
        list: "/api/shows",
        item: "/api/shows/#",
        detail: "/api/shows/#/seats",
        prepare: (Method::POST, "/api/shows/#/holds"),
        commit: "/api/shows/#/buy",
        commit_body: "{\"seats\":2}",
        prize: "purchases",
    },
];

impl Scenario {
    /// What its rule file says.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn policy(&self) -> Result<Policy> {
        let config = Config::parse(self.rules, &format!("docs/examples/{}.toml", self.name))?;
        Ok(config.policy)
    }

    pub(super) fn request(&self, deed: &Deed) -> Sent {
        let with = |template: &str, id: u32| template.replace('#', &id.to_string());
        let get = |path: String| Sent {
            method: Method::GET,
            path,
            body: String::new(),
            status: 200,
        };
        match *deed {
            Deed::List => get(self.list.to_owned()),
            Deed::Item(id) => get(with(self.item, id)),
            Deed::Detail(id) => get(with(self.detail, id)),
            Deed::Login { user, right } => Sent {
                method: Method::POST,
                path: "/api/login".into(),
                body: format!("{{\"user\":\"u{user}\"}}"),
                status: if right { 200 } else { 401 },
            },
            Deed::Prepare(id) => Sent {
                method: self.prepare.0.clone(),
                ..get(with(self.prepare.1, id))
            },
            Deed::Commit { id, works } => Sent {
                method: Method::POST,
                path: with(self.commit, id),
                body: with(self.commit_body, id),
                status: if works { 200 } else { 402 },
            },
        }
    }
}
