//! deploy/shop: products, orders and users, each with a database of its own, behind one edge that checks the tokens.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::calm;
use crate::compose::{Project, docker, eventually, text};
use crate::load::{Answer, Client, Load, Outcome, Question, get, question};

const EDGE: &str = "edge";
const SERVICES: [&str; 3] = ["products", "orders", "users"];
const PASSWORD: &str = "correct horse battery";
const RATE: u32 = 60;
/// Units that the sample products begin with, all together.
const SAMPLE_UNITS: i64 = 12 * 1000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker and the images: make stacks"]
async fn a_shop() {
    let mut project = Project::new("shop", 18514, &["deploy/shop/compose.yml"]);
    project.up(&[]);
    project.answers("/products").await;
    for service in SERVICES {
        project.all_up(EDGE, service, 1).await;
    }
    let mut shop = Shop::of(project);
    let (ann, bob) = a_customer_finds_everything(&mut shop).await;
    passwords_and_databases_are_kept_apart(&shop);
    a_password_with_a_space_is_refused();
    only_good_tokens_reach_the_orders(&shop, &ann).await;
    nobody_is_somebody_else(&shop, &ann, &bob).await;
    fifty_are_sold_of_fifty(&mut shop, &ann).await;
    let torn = an_order_is_torn(&mut shop, &ann).await;
    each_service_is_scaled(&shop, &ann).await;
    the_torn_order_gives_back(&shop, &ann, torn).await;
    frozen_workers_are_healed(&shop, &ann).await;
    a_killed_database_comes_back(&shop, &ann).await;
    a_database_hangs(&shop, &ann).await;
    a_stopped_database_comes_back(&shop, &ann).await;
    customers_come_by_a_command(&mut shop);
    the_books_agree(&shop).await;
}

struct Shop {
    project: Project,
    /// The containers that stay the same through everything, and where the services' first replicas answer without the edge.
    edge: String,
    database: String,
    addresses: [(&'static str, SocketAddr); 3],
    /// Units that ever came into the stock.
    units: i64,
}

/// Somebody with an account and a token.
struct Customer {
    id: i64,
    name: &'static str,
    token: String,
}

impl Shop {
    fn of(project: Project) -> Self {
        let container = |service| project.containers(service)[0].clone();
        let addresses = SERVICES.map(|service| {
            let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
            let address = docker(&["inspect", "--format", format, &container(service)]);
            (service, SocketAddr::new(address.parse().unwrap(), 8000))
        });
        let (edge, database) = (container(EDGE), container("database"));
        Self { project, edge, database, addresses, units: SAMPLE_UNITS }
    }

    fn front(&self) -> SocketAddr {
        self.project.front()
    }

    async fn ask(&self, question: Question) -> Answer {
        Client::new().ask(question, Duration::from_secs(20)).await.unwrap()
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(signed(question(Method::GET, self.front(), path, ""), token)).await
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.ask(signed(question(Method::POST, self.front(), path, &body.to_string()), token)).await
    }

    async fn login(&self, name: &str, password: &str) -> Answer {
        self.post("/users/login", "", &json!({ "name": name, "password": password })).await
    }

    async fn token(&self, name: &str, password: &str) -> String {
        self.login(name, password).await.well().json()["access_token"].as_str().unwrap().to_owned()
    }

    async fn customer(&self, name: &'static str) -> Customer {
        let account = json!({ "name": name, "password": PASSWORD });
        let made = self.post("/users/register", "", &account).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let id = made.json()["id"].as_i64().unwrap();
        Customer { id, name, token: self.token(name, PASSWORD).await }
    }

    async fn order(&self, token: &str, product: i64, quantity: i64) -> Answer {
        self.post("/orders", token, &json!({ "items": [{ "product": product, "quantity": quantity }] })).await
    }

    async fn stock(&self, product: i64) -> i64 {
        get(self.front(), &format!("/products/{product}")).await.unwrap().well().json()["stock"].as_i64().unwrap()
    }

    /// A new product, by the administrator.
    async fn product(&mut self, name: &str, stock: i64) -> i64 {
        let admin = self.token("admin", "sample-admin-password").await;
        let product = json!({ "name": name, "price_cents": 150, "stock": stock });
        let made = self.post("/admin/products", &admin, &product).await;
        assert_eq!(made.status, 201, "{}", made.body);
        self.units += stock;
        made.json()["id"].as_i64().unwrap()
    }

    /// What a query answers, by the server's own root; columns parted by tabs.
    fn sql(&self, query: &str) -> String {
        docker(&["exec", &self.database, "mysql", "--batch", "--skip-column-names", "-e", query])
    }

    fn count(&self, query: &str) -> i64 {
        self.sql(query).trim().parse().unwrap()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&docker(&["exec", &self.edge, "remora", "status", "--json"])).unwrap()
    }

    /// How many requests the edge has sent to the backends of an upstream.
    fn reached(&self, upstream: &str) -> u64 {
        let status = self.status();
        let found = status["upstreams"].as_array().unwrap().iter().find(|entry| entry["name"] == upstream).unwrap();
        found["backends"].as_array().unwrap().iter().map(|backend| backend["requests"].as_u64().unwrap()).sum()
    }

    /// Browsing 80 %, searching and looking closer 13 %, logins 2 %, orders 5 %.
    fn mix(&self, customer: &Customer, rate: u32) -> Load {
        let (to, token) = (self.front(), customer.token.clone());
        let login = json!({ "name": customer.name, "password": PASSWORD }).to_string();
        Load::of(rate, move |number| match number * 37 % 100 {
            0..80 => question(Method::GET, to, "/products", ""),
            80..85 => question(Method::GET, to, "/products?search=bread", ""),
            85..93 => question(Method::GET, to, &format!("/products/{}", number % 12 + 1), ""),
            93..95 => question(Method::POST, to, "/users/login", &login),
            _ => {
                let order = json!({ "items": [{ "product": number % 12 + 1, "quantity": 1 }] });
                signed(question(Method::POST, to, "/orders", &order.to_string()), &token)
            }
        })
    }

    fn scale(&self, service: &str, count: usize) {
        self.project.compose(&["up", "-d", "--no-build", "--scale", &format!("{service}={count}")]);
    }

    /// How often the edge has healed one of an upstream's backends.
    fn heals(&self, upstream: &str) -> usize {
        let status = self.status();
        let heals = status["heals"].as_array().cloned().unwrap_or_default();
        heals.iter().filter(|heal| heal["upstream"] == upstream && heal["result"] == "healed").count()
    }

    /// Does something under load, of which no more than `bearable` requests may fail.
    async fn costs(&self, bearable: usize, what: &str, customer: &Customer, doing: impl AsyncFnMut()) {
        calm::costs(bearable, what, || self.project.log(EDGE), |part| self.mix(customer, RATE / part), doing).await;
    }

    /// Waits until the database and one replica of each service are up.
    async fn all_well(&self) {
        let up = |status: &Value| {
            let upstreams = status["upstreams"].as_array().unwrap().clone();
            let mut states = upstreams.iter().flat_map(|upstream| upstream["backends"].as_array().unwrap());
            states.clone().count() == 4 && states.all(|backend| backend["state"] == "up")
        };
        eventually("all is well", || async { up(&self.status()) }).await;
    }
}

trait Json {
    fn json(&self) -> Value;
    fn detail(&self) -> String;
}

impl Json for Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap_or_default().to_owned()
    }
}

fn signed(question: Question, token: &str) -> Question {
    if token.is_empty() { question } else { with(question, "authorization", &format!("Bearer {token}")) }
}

fn with(mut question: Question, name: &'static str, value: &str) -> Question {
    question.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    question
}

async fn a_customer_finds_everything(shop: &mut Shop) -> (Customer, Customer) {
    let ann = shop.customer("ann").await;
    let again = shop.post("/users/register", "", &json!({ "name": "ann", "password": PASSWORD })).await;
    assert_eq!((again.status, again.detail().as_str()), (409, "this name is taken"));
    let short = shop.post("/users/register", "", &json!({ "name": "carl", "password": "short" })).await;
    assert_eq!(short.status, 422, "{}", short.body);
    for (name, password) in [("ann", "wrong"), ("nobody", PASSWORD), ("ann' OR '1'='1", PASSWORD)] {
        let refused = shop.login(name, password).await;
        assert_eq!((refused.status, refused.detail().as_str()), (401, "wrong name or password"), "{name}");
    }
    let admin = shop.post("/users/register", "", &json!({ "name": "admin", "password": PASSWORD })).await;
    assert_eq!((admin.status, admin.detail().as_str()), (409, "this name is taken"));
    let me = shop.get("/users/me", &ann.token).await.well().json();
    assert_eq!((me["name"].as_str(), me["admin"].as_bool()), (Some("ann"), Some(false)));

    let page = get(shop.front(), "/products?limit=5&after=5").await.unwrap().well().json();
    let numbers: Vec<_> = page["products"].as_array().unwrap().iter().map(|product| product["id"].as_i64()).collect();
    assert_eq!(numbers, [Some(6), Some(7), Some(8), Some(9), Some(10)]);
    let found = get(shop.front(), "/products?search=bread").await.unwrap().well();
    assert!(found.body.contains("Bread knife") && !found.body.contains("Kettle"), "{}", found.body);
    assert_eq!(get(shop.front(), "/products?search=%25").await.unwrap().json()["products"], json!([]));
    assert_eq!(get(shop.front(), "/products/9999").await.unwrap().status, 404);

    // Two items of one and one of another, sent twice: ordered once.
    let wanted = json!({ "items": [{ "product": 1, "quantity": 2 }, { "product": 3, "quantity": 1 }] }).to_string();
    let ask = || {
        let order = signed(question(Method::POST, shop.front(), "/orders", &wanted), &ann.token);
        shop.ask(with(order, "idempotency-key", "first"))
    };
    let (order, repeated) = (ask().await, ask().await);
    assert_eq!((order.status, order.json()["state"].as_str()), (201, Some("placed")), "{}", order.body);
    assert_eq!(order.json()["total_cents"], 2 * 900 + 2900);
    assert_eq!(repeated.json()["id"], order.json()["id"]);
    assert_eq!((shop.stock(1).await, shop.stock(3).await), (998, 999));

    a_key_stands_for_one_order(shop, &ann, &wanted, &order.json()["id"]).await;

    let bob = shop.customer("bob").await;
    let path = format!("/orders/{}", order.json()["id"]);
    assert_eq!(shop.get(&path, &ann.token).await.well().json()["items"][0]["quantity"], 2);
    assert_eq!(shop.get(&path, &bob.token).await.status, 404, "an order is its owner's");
    assert_eq!(shop.get("/orders", &bob.token).await.well().json()["orders"], json!([]));
    assert_eq!(shop.order(&ann.token, 9999, 1).await.status, 404);
    assert_eq!(shop.order(&ann.token, 1, 0).await.status, 422);

    // All or nothing: of an order that cannot be whole nothing is taken.
    let last = shop.product("the last one", 1).await;
    let both = json!({ "items": [{ "product": 2, "quantity": 1 }, { "product": last, "quantity": 2 }] });
    let refused = shop.post("/orders", &ann.token, &both).await;
    assert_eq!((refused.status, refused.detail()), (409, format!("out of stock: {last}")));
    assert_eq!((shop.stock(2).await, shop.stock(last).await), (1000, 1));

    // What is not for everybody.
    let product = json!({ "name": "mine", "price_cents": 1 });
    assert_eq!(shop.post("/admin/products", "", &product).await.status, 401);
    assert_eq!(shop.post("/admin/products", &ann.token, &product).await.status, 403);
    let reservation = format!("/products/reservations/{}", "0".repeat(32));
    let taking = question(Method::PUT, shop.front(), &reservation, r#"{"items":[{"product":1,"quantity":1}]}"#);
    assert_eq!(shop.ask(signed(taking, &ann.token)).await.status, 403);
    let admin = shop.token("admin", "sample-admin-password").await;
    let path = format!("/admin/products/{last}/restock");
    assert_eq!(shop.post(&path, &admin, &json!({ "quantity": 4 })).await.well().json()["stock"], 5);
    shop.units += 4;

    let doctor = docker(&["exec", &shop.edge, "remora", "doctor"]);
    assert!(doctor.contains("all checks passed"), "{doctor}");
    (ann, bob)
}

/// The order with the key `first` is made, and `wanted` was in it.
async fn a_key_stands_for_one_order(shop: &Shop, ann: &Customer, wanted: &str, first: &Value) {
    let send = async |key: &str, body: &str| {
        let order = signed(question(Method::POST, shop.front(), "/orders", body), &ann.token);
        shop.ask(with(order, "idempotency-key", key)).await
    };
    let another = r#"{"items":[{"product":8,"quantity":1}]}"#;
    let refused = send("first", another).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert_eq!(refused.detail(), "this Idempotency-Key came with another order before");
    assert_eq!(send("first", wanted).await.json()["id"], *first);
    for key in ["", "fir st", "first\tx", &"x".repeat(101)] {
        let refused = send(key, another).await;
        assert_eq!(refused.status, 422, "`{key}`: {}", refused.body);
    }
    assert_eq!(shop.stock(8).await, 1000, "none of them was an order");
    for (key, left) in [("First", 999), (&"x".repeat(100), 998)] {
        let order = send(key, another).await;
        assert_eq!((order.status, shop.stock(8).await), (201, left), "{}", order.body);
        assert_ne!(order.json()["id"], *first, "{key} is another key");
    }
}

fn passwords_and_databases_are_kept_apart(shop: &Shop) {
    let stored = shop.sql("SELECT password FROM users.users");
    assert!(3 <= stored.lines().count());
    assert!(stored.lines().all(|password| password.starts_with("$argon2id$v=19$m=19456,t=2,p=1$")), "{stored}");
    let all = docker(&["exec", &shop.database, "mysqldump", "--all-databases"]);
    assert!(all.contains("'ann'") && !all.contains(PASSWORD) && !all.contains("sample-admin-password"));
    let mut users = SERVICES.map(|user| {
        let (user, password) = (format!("-u{user}"), format!("-p{user}"));
        let list = ["exec", &shop.database, "mysql", "-h127.0.0.1", &user, &password, "-Ne", "SHOW DATABASES"];
        let seen = docker(&list);
        seen.lines().filter(|name| *name != "information_schema").collect::<Vec<_>>().join(" ")
    });
    users.sort();
    assert_eq!(users, ["orders", "products", "users"], "each sees its own database and no other");
}

/// Where a password is cut at its space the server would take its first half for the whole.
fn a_password_with_a_space_is_refused() {
    let databases = "MYSQL_DATABASES=products:secret orders:half another";
    let output = Command::new("docker").args(["run", "--rm", "-e", databases, "remora-database:latest"]).output();
    let output = output.unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("item 3 is not name:password") && !said.contains("another"), "{said}");
}

/// Tokens made with what the users service makes them with; each `how` is Python.
fn made_inside<const N: usize>(shop: &Shop, how: [&str; N]) -> [String; N] {
    let script = format!(
        "import jwt\nfrom shop.users import make_token, SECRET\nown = jwt.decode(make_token(1, 'admin', True), \
         options={{'verify_signature': False}})\nprint({}, sep='\\n')",
        how.join(", ")
    );
    let container = &shop.project.containers("users")[0];
    let made = docker(&["exec", container, "python", "-W", "ignore", "-c", &script]);
    made.lines().map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
}

async fn only_good_tokens_reach_the_orders(shop: &Shop, ann: &Customer) {
    let (head, rest) = ann.token.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let [good, expired, foreign, unsigned, elsewhere, endless] = made_inside(
        shop,
        [
            "make_token(2, 'ann', False, 60)",
            "make_token(2, 'ann', False, -1)",
            "jwt.encode(own, 'x' * 40, 'HS256')",
            "jwt.encode(own, '', 'none')",
            "jwt.encode(own | {'aud': 'other'}, SECRET, 'HS256')",
            "jwt.encode({key: own[key] for key in own if key != 'exp'}, SECRET, 'HS256')",
        ],
    );
    let bad = [
        ("none", String::new(), "needed"),
        ("nonsense", "nonsense".into(), "not valid"),
        ("expired", expired, "expired"),
        ("of another secret", foreign, "not valid"),
        ("unsigned", unsigned, "not valid"),
        ("for somebody else", elsewhere, "not valid"),
        ("without an end", endless, "not valid"),
        ("with another's signature", format!("{head}.{claims}x.{signature}"), "not valid"),
    ];
    let before = (shop.reached("orders"), shop.count("SELECT COUNT(*) FROM orders.orders"));
    for (what, token, why) in &bad {
        for answer in [shop.get("/orders", token).await, shop.order(token, 1, 1).await] {
            assert_eq!(answer.status, 401, "{what}: {}", answer.body);
            assert!(answer.body.contains(why), "{what}: {}", answer.body);
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{what}: {:?}", answer.headers);
        }
    }
    let after = (shop.reached("orders"), shop.count("SELECT COUNT(*) FROM orders.orders"));
    assert_eq!(before, after, "the orders service has seen none of them");
    shop.get("/orders", &ann.token).await.well();
    assert_eq!(shop.reached("orders"), after.0 + 1, "and sees a good one");
    shop.get("/orders", &good).await.well();
}

async fn nobody_is_somebody_else(shop: &Shop, ann: &Customer, bob: &Customer) {
    let forge = |question: Question| {
        let question = with(question, "x-user-id", &ann.id.to_string());
        let question = with(question, "x-user-id", &ann.id.to_string());
        with(with(question, "x-user-name", "ann"), "x_user_id", &ann.id.to_string())
    };
    let list = || question(Method::GET, shop.front(), "/orders", "");
    let order = || question(Method::POST, shop.front(), "/orders", r#"{"items":[{"product":4,"quantity":1}]}"#);
    for forged in [forge(list()), forge(order())] {
        assert_eq!(shop.ask(forged).await.status, 401, "a header is no token");
    }
    let mine = shop.ask(forge(signed(list(), &bob.token))).await.well();
    assert_eq!(mine.json()["orders"], json!([]), "Bob sees his own orders, whoever he says he is");
    let made = shop.ask(forge(signed(order(), &bob.token))).await.well().json();
    let owner = shop.sql(&format!("SELECT user, name FROM orders.orders WHERE id = {}", made["id"]));
    assert_eq!(owner.trim(), format!("{}\tbob", bob.id), "and what he orders is his");
    let product = question(Method::POST, shop.front(), "/admin/products", r#"{"name":"mine","price_cents":1}"#);
    assert_eq!(shop.ask(forge(signed(product, &bob.token))).await.status, 403);

    // Nor does another way of writing a path lead around the check.
    let products = shop.count("SELECT COUNT(*) FROM products.products");
    let ways = ["/products/../admin/products", "/products/%2e%2e/admin/products", "/products/..%2Fadmin/products"];
    for way in ways.into_iter().chain(["//admin/products", "/%61dmin/products", "/users/../orders", "/%6frders"]) {
        let body = r#"{"name":"mine","price_cents":1,"items":[{"product":4,"quantity":1}]}"#;
        let answer = shop.ask(forge(question(Method::POST, shop.front(), way, body))).await;
        assert!([400, 401, 404, 405].contains(&answer.status), "{way}: {} {}", answer.status, answer.body);
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM products.products"), products);
}

/// An order until it is placed or refused; how often it was sent and what came of it. Where the answer says when to try again
/// (the shop has too much to do) it does, with the same key.
async fn ordered(client: Client, question: impl Fn() -> Question) -> (usize, Answer) {
    for sent in 1.. {
        let answer = client.ask(question(), Duration::from_secs(20)).await.unwrap();
        let again = answer.header("retry-after").to_owned();
        if again.is_empty() || 60 < sent {
            return (sent, answer);
        }
        tokio::time::sleep(Duration::from_secs(again.parse().unwrap())).await;
    }
    unreachable!()
}

async fn fifty_are_sold_of_fifty(shop: &mut Shop, ann: &Customer) {
    let product = shop.product("a rare one", 50).await;
    let (client, start, to) = (Client::new(), Instant::now(), shop.front());
    let order = json!({ "items": [{ "product": product, "quantity": 1 }] }).to_string();
    let orders: Vec<_> = (0..200)
        .map(|number| {
            let (order, token) = (order.clone(), ann.token.clone());
            tokio::spawn(ordered(client.clone(), move || {
                let question = signed(question(Method::POST, to, "/orders", &order), &token);
                with(question, "idempotency-key", &format!("rare-{number}"))
            }))
        })
        .collect();
    let mut answers = Vec::new();
    for order in orders {
        answers.push(order.await.unwrap());
    }
    let took = start.elapsed().as_secs_f64();
    let count = |status: u16| answers.iter().filter(|(_, answer)| answer.status == status).count();
    let again = answers.iter().map(|(sent, _)| sent - 1).sum::<usize>();
    println!("200 at once for 50: {} sold, {} refused, {again} asked again, {took:.1} s", count(201), count(409));
    assert_eq!((count(201), count(409), shop.stock(product).await), (50, 150, 0));
    assert!(answers.iter().all(|(_, answer)| answer.status == 201 || answer.detail().starts_with("out of stock")));
    let sold = shop.count(&format!("SELECT SUM(quantity) FROM orders.items WHERE product = {product}"));
    assert_eq!(sold, 50);
}

/// A session that keeps a table to itself until it is killed, and its number.
async fn locked(shop: &Shop, table: &str) -> (Child, i64) {
    let query = format!("LOCK TABLES {table} WRITE; DO SLEEP(30)");
    let mut command = Command::new("docker");
    command.args(["exec", &shop.database, "mysql", "-e", &query]).stdout(Stdio::null()).stderr(Stdio::null());
    let session = command.spawn().unwrap();
    // It sleeps as soon as it has the lock.
    let find = || shop.sql("SELECT id FROM information_schema.processlist WHERE info = 'DO SLEEP(30)'");
    eventually("the table is locked", || async { !find().is_empty() }).await;
    (session, find().parse().unwrap())
}

/// An order whose stock is taken, and which then cannot be written down. Returns the product of which there was one.
async fn an_order_is_torn(shop: &mut Shop, ann: &Customer) -> i64 {
    let product = shop.product("a torn one", 1).await;
    let (mut session, number) = locked(shop, "orders.items").await;
    let start = Instant::now();
    let answer = shop.order(&ann.token, product, 1).await;
    let took = start.elapsed();
    println!("an order that cannot be written down: {} after {:.1} s", answer.status, took.as_secs_f64());
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(shop.stock(product).await, 0, "its stock is reserved until the order has come to an end");
    // The lock was held all the time: else there would be nothing to kill.
    shop.sql(&format!("KILL {number}"));
    session.wait().unwrap();
    product
}

async fn the_torn_order_gives_back(shop: &Shop, ann: &Customer, product: i64) {
    let waited = eventually("the stock is back", || async { shop.stock(product).await == 1 }).await;
    println!("a torn order's stock: back, after {:.1} s more", waited.as_secs_f64());
    eventually("its order has failed", || async {
        shop.count("SELECT COUNT(*) FROM orders.orders WHERE state IN ('pending', 'releasing')") == 0
    })
    .await;
    assert_eq!(shop.order(&ann.token, product, 1).await.status, 201, "and can be bought");
}

async fn each_service_is_scaled(shop: &Shop, ann: &Customer) {
    for service in SERVICES {
        shop.costs(0, &format!("{service} 1→3→1"), ann, async || {
            let start = Instant::now();
            shop.scale(service, 3);
            shop.project.all_up(EDGE, service, 3).await;
            println!("{service}: three after {:.1} s", start.elapsed().as_secs_f64());
            shop.scale(service, 1);
            shop.project.all_up(EDGE, service, 1).await;
        })
        .await;
    }
}

/// One replica has the whole load meanwhile, and the edge refuses what that cannot do: no more than a second's requests.
async fn frozen_workers_are_healed(shop: &Shop, ann: &Customer) {
    shop.scale("products", 2);
    shop.project.all_up(EDGE, "products", 2).await;
    let freeze = "kill -STOP $(grep -l '^PPid:.1$' /proc/[0-9]*/status | cut -d / -f 3)";
    shop.costs(RATE as usize, "frozen workers of one of two products", ann, async || {
        let before = shop.heals("products");
        docker(&["exec", "-u", "app", &shop.project.containers("products")[0], "sh", "-c", freeze]);
        let start = Instant::now();
        eventually("products are healed", || async { before < shop.heals("products") }).await;
        shop.project.all_up(EDGE, "products", 2).await;
        println!("frozen workers: well again after {:.1} s", start.elapsed().as_secs_f64());
    })
    .await;
    shop.scale("products", 1);
    shop.project.all_up(EDGE, "products", 1).await;
}

async fn a_killed_database_comes_back(shop: &Shop, ann: &Customer) {
    let load = shop.mix(ann, RATE);
    docker(&["exec", &shop.database, "pkill", "-KILL", "mariadbd"]);
    let start = Instant::now();
    eventually("the edge heals it", || async { 0 < shop.heals("database") }).await;
    shop.all_well().await;
    let rest = format!("; all well after {:.1} s", start.elapsed().as_secs_f64());
    tell("database killed and healed", &load.end().await, &rest);
    shop.order(&ann.token, 5, 1).await.well();
}

/// A server that takes connections and says nothing more.
async fn a_database_hangs(shop: &Shop, ann: &Customer) {
    let (load, start) = (shop.mix(ann, RATE), Instant::now());
    docker(&["pause", &shop.database]);
    each_says_503_soon(shop).await;
    docker(&["unpause", &shop.database]);
    let hung = start.elapsed().as_secs_f64();
    shop.all_well().await;
    let rest = format!("; hung for {hung:.1} s, all well after {:.1} s", start.elapsed().as_secs_f64());
    tell("database hangs", &load.end().await, &rest);
    shop.order(&ann.token, 5, 1).await.well();
}

async fn a_stopped_database_comes_back(shop: &Shop, ann: &Customer) {
    let load = shop.mix(ann, RATE);
    let start = Instant::now();
    docker(&["stop", "-t", "60", &shop.database]);
    let stopped = start.elapsed();
    each_says_503_soon(shop).await;
    // A token is good without any database.
    let (_, address) = shop.addresses[2];
    shop.ask(signed(question(Method::GET, address, "/users/verify", ""), &ann.token)).await.well();
    docker(&["start", &shop.database]);
    let started = Instant::now();
    shop.all_well().await;
    let (away, back) = (start.elapsed(), started.elapsed().as_secs_f64());
    let rest = format!(
        "; stopped after {:.1} s, all well {back:.1} s after its start, {:.1} s in all",
        stopped.as_secs_f64(),
        away.as_secs_f64()
    );
    tell("database stopped and started", &load.end().await, &rest);
    shop.order(&ann.token, 5, 1).await.well();
}

/// Asks each service without the edge.
async fn each_says_503_soon(shop: &Shop) {
    let login = json!({ "name": "ann", "password": PASSWORD }).to_string();
    let order = r#"{"items":[{"product":1,"quantity":1}]}"#;
    for (service, to) in shop.addresses {
        let asked = match service {
            "products" => question(Method::GET, to, "/products", ""),
            "orders" => with(question(Method::POST, to, "/orders", order), "x-user-id", "1"),
            _ => question(Method::POST, to, "/users/login", &login),
        };
        for question in [asked, question(Method::GET, to, "/health", "")] {
            let (what, start) = (format!("{service} {}", question.uri().path()), Instant::now());
            let answer = shop.ask(question).await;
            let took = start.elapsed();
            println!("without the database: {what} says {} after {} ms", answer.status, took.as_millis());
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (503, "application/json"),
                "{what}: {}",
                answer.body
            );
            assert!(took < Duration::from_millis(2500), "{what}: {took:?}");
        }
    }
}

fn customers_come_by_a_command(shop: &mut Shop) {
    let said = shop.project.compose(&["run", "--rm", "load", "--rate", "50", "--seconds", "5"]);
    println!("{said}");
    assert!(said.contains("the books agree") && said.contains("requests/s"), "{said}");
}

/// What was ever there is either there or sold, and what was sold is in somebody's order.
async fn the_books_agree(shop: &Shop) {
    eventually("every order has come to an end", || async {
        shop.count("SELECT COUNT(*) FROM orders.orders WHERE state IN ('pending', 'releasing')") == 0
    })
    .await;
    let stock = shop.count("SELECT SUM(stock) FROM products.products");
    let sold = shop.count("SELECT SUM(quantity) FROM orders.items");
    let placed = shop.count("SELECT COUNT(*) FROM orders.orders WHERE state = 'placed'");
    let held = shop.count("SELECT COUNT(*) FROM products.reservations WHERE state = 'held'");
    println!("{placed} orders, {sold} units sold, {stock} left of {}", shop.units);
    assert_eq!((stock + sold, held), (shop.units, placed));
    assert_eq!(shop.count("SELECT COUNT(*) FROM products.products WHERE stock < 0"), 0);
}

/// While the database is away requests are told to try again, and nothing worse.
fn tell(what: &str, outcome: &Outcome, rest: &str) {
    println!("{what}: {outcome}, {:.0} requests/s{rest}", outcome.rate());
    let failures = outcome.failures();
    assert!(failures.split(", ").all(|kind| kind.is_empty() || kind.ends_with(" x 503")), "{what}: {outcome}");
}
