//! The services of the demo: users, orders and inventory, with a bit of data in memory.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::service::{Answer, Question, start};

const USERS: [(u64, &str); 3] = [(1, "Ada"), (2, "Grace"), (3, "Radia")];
const STOCK: [(&str, u64); 3] = [("tea", 120), ("cups", 40), ("kettle", 3)];

/// Orders that are kept at most: the demo may run for long.
const ORDERS: usize = 1_000;

/// Where they listen.
pub(super) struct Services {
    pub(super) users: SocketAddr,
    pub(super) orders: SocketAddr,
    pub(super) inventory: SocketAddr,
}

impl Services {
    /// Starts all three.
    pub(super) async fn start() -> io::Result<Services> {
        let placed = Mutex::new(vec![Order {
            user: 1,
            sku: "cups".to_owned(),
            count: 4,
        }]);
        Ok(Services {
            users: start(users).await?,
            orders: start(move |question| orders(question, &placed)).await?,
            inventory: start(inventory).await?,
        })
    }
}

/// `GET /users`, `GET /users/{id}`
fn users(question: &Question) -> Answer {
    // As services do that know themselves by one name and are reached by another.
    let user = |(id, name): &(u64, &str)| json!({ "id": id, "name": name, "url": format!("http://users.internal/users/{id}") });
    match (&question.method, question.path.strip_prefix("/users")) {
        (&Method::GET, Some("")) => Answer::ok(json!({ "users": USERS.iter().map(user).collect::<Vec<_>>() })),
        (&Method::GET, Some(id)) => {
            let found = USERS
                .iter()
                .find(|(known, _)| id.strip_prefix('/') == Some(&known.to_string()));
            found.map_or_else(Answer::not_found, |found| Answer::ok(user(found)))
        }
        _ => Answer::not_found(),
    }
}

#[derive(Deserialize)]
struct Order {
    user: u64,
    sku: String,
    count: u64,
}

impl Order {
    fn to_json(&self, id: usize) -> Value {
        json!({ "id": id, "user": self.user, "sku": self.sku, "count": self.count })
    }
}

/// `GET /orders?user=1`, `POST /orders`
fn orders(question: &Question, placed: &Mutex<Vec<Order>>) -> Answer {
    let mut placed = placed.lock().unwrap_or_else(PoisonError::into_inner);
    match (&question.method, question.path.as_str()) {
        (&Method::GET, "/orders") => {
            let user = question.query.split('&').find_map(|pair| pair.strip_prefix("user="));
            let wanted = placed
                .iter()
                .enumerate()
                .filter(|(_, order)| user.is_none_or(|user| user == order.user.to_string()));
            Answer::ok(json!({ "orders": wanted.map(|(id, order)| order.to_json(id + 1)).collect::<Vec<_>>() }))
        }
        (&Method::POST, "/orders") => match serde_json::from_slice::<Order>(&question.body) {
            Ok(_) if placed.len() >= ORDERS => Answer::error(StatusCode::CONFLICT, "the order book is full"),
            Ok(order) => {
                let json = order.to_json(placed.len() + 1);
                placed.push(order);
                Answer {
                    status: StatusCode::CREATED,
                    json,
                }
            }
            Err(error) => Answer::error(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
        },
        _ => Answer::not_found(),
    }
}

/// `GET /stock/{sku}`
fn inventory(question: &Question) -> Answer {
    let sku = question
        .path
        .strip_prefix("/stock/")
        .filter(|_| question.method == Method::GET);
    let found = STOCK.iter().find(|(known, _)| sku == Some(*known));
    found.map_or_else(Answer::not_found, |(sku, available)| {
        Answer::ok(json!({ "sku": sku, "available": available }))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn asked(method: Method, path: &str, query: &str, body: &'static str) -> Question {
        Question {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn users_are_listed_and_found() {
        let of = |path| users(&asked(Method::GET, path, "", ""));
        assert_eq!(of("/users").json["users"].as_array().map(Vec::len), Some(USERS.len()));
        assert_eq!(of("/users/2").json["name"], "Grace");
        for path in ["/users/", "/users/9", "/users/2/x", "/"] {
            assert_eq!(of(path).status, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn an_order_is_placed_and_seen_by_its_user() {
        let placed = Mutex::new(Vec::new());
        let order = |body| orders(&asked(Method::POST, "/orders", "", body), &placed);
        assert_eq!(order(r#"{"user":2,"sku":"tea","count":1}"#).status, StatusCode::CREATED);
        assert_eq!(order("{").status, StatusCode::UNPROCESSABLE_ENTITY);
        let of = |query| orders(&asked(Method::GET, "/orders", query, ""), &placed).json["orders"].clone();
        assert_eq!(of("user=2")[0]["sku"], "tea");
        assert_eq!(of("user=1"), json!([]));
    }

    #[test]
    fn stock_is_told() {
        assert_eq!(
            inventory(&asked(Method::GET, "/stock/tea", "", "")).json["available"],
            120
        );
        assert_eq!(
            inventory(&asked(Method::GET, "/stock/x", "", "")).status,
            StatusCode::NOT_FOUND
        );
    }
}
