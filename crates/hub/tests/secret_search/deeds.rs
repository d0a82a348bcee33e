//! Everything that can be done with passwords through the contract, with what is right and with what
//! is wrong.
//!
//! Invariant: each password is made for one deed, so a find names the deed.

use rollcall_proto::operation::Operation;
use rollcall_proto::signin::sign_in_response::Result as Answer;
use rollcall_proto::{admin, idp, signin};
use serde_json::{Value as Json, json};
use tonic::{Code, Status};

use crate::caller::{Caller, Wire};
use crate::needles::{Kind, Needles};
use crate::program::Program;

const CREATE: &str = "UserService/Create";
const SET_OWN: &str = "UserService/SetOwnPassword";
const SET_OTHERS: &str = "UserService/SetOthersPassword";
const SIGN_IN: &str = "SignInService/SignIn";
const CHANGE: &str = "SignInService/ChangePassword";
const REFRESH: &str = "SignInService/Refresh";

/// A pool in which it all happens.
pub struct Stage<'a> {
    pub needles: &'a mut Needles,
    pub caller: Caller,
    pub administrator: Caller,
    pub name: &'static str,
    pool_id: String,
}

impl<'a> Stage<'a> {
    /// A new pool whose users may change their passwords.
    pub async fn open(program: &Program, wire: Wire, needles: &'a mut Needles) -> Self {
        let name = match wire {
            Wire::Grpc => "grpc",
            Wire::Rest => "rest",
        };
        let caller = program.connect(wire).await;
        let administrator = program.administrator(&caller, needles).await;
        let request = json!({"organizationId": program.organization_id, "name": name,
            "defaultSubdomain": name});
        let made: Operation = administrator
            .call("UserpoolService/Create", request)
            .await
            .unwrap();
        let pool: idp::Userpool = rollcall_client::operation_response(made).unwrap();
        let request = json!({"userpoolId": pool.id,
            "updateMask": "userSettings.allowEditSelfPassword",
            "userSettings": {"allowEditSelfPassword": true}});
        let _: Operation = administrator
            .call("UserpoolService/Update", request)
            .await
            .unwrap();
        Self {
            needles,
            caller,
            administrator,
            name,
            pool_id: pool.id,
        }
    }

    /// Another connection of an administrator.
    pub async fn open_again(program: &Program, wire: Wire, needles: &'a mut Needles) -> Self {
        let caller = program.connect(wire).await;
        Self {
            administrator: program.administrator(&caller, needles).await,
            needles,
            caller,
            name: "another connection",
            pool_id: String::new(),
        }
    }

    /// The pool.
    pub fn pool_id(&self) -> &str {
        &self.pool_id
    }

    /// Everything.
    pub async fn play(&mut self) {
        self.create().await;
        self.create_wrongly().await;
        self.import_all().await;
        self.change_own().await;
        self.change_others().await;
        self.sign_in_wrongly().await;
        self.change_at_sign_in().await;
        self.renew().await;
        self.make_keys().await;
        self.write_back().await;
    }

    /// A password that the hub will tell somebody.
    pub fn told_password(&mut self, deed: &str) -> String {
        let name = format!("password {}: {deed}", self.name);
        self.needles.new_secret(&name, Kind::Told)
    }

    pub fn password(&mut self, deed: &str) -> String {
        self.needles.new_password(&format!("{}: {deed}", self.name))
    }

    pub fn login(&self, name: &str) -> String {
        format!("{name}@{}.idp.rollcall.internal", self.name)
    }

    fn user(&self, name: &str, credentials: (&str, Json)) -> Json {
        let mut request = json!({"userpoolId": self.pool_id, "username": self.login(name),
            "fullName": format!("The {name}")});
        request[credentials.0] = credentials.1;
        request
    }

    pub async fn make(&self, name: &str, credentials: (&str, Json)) -> Result<String, Status> {
        let request = self.user(name, credentials);
        let made: Operation = self.administrator.call(CREATE, request).await?;
        let user: idp::User = rollcall_client::operation_response(made).unwrap();
        Ok(user.id)
    }

    pub async fn make_with(&self, name: &str, password: &str) -> String {
        self.make(name, ("passwordSpec", json!({"password": password})))
            .await
            .unwrap()
    }

    /// Calls with what must be refused.
    pub async fn refused(&self, caller: &Caller, method: &str, request: Json, code: Code) {
        let answer: Result<Operation, _> = caller.call(method, request).await;
        let status = answer.expect_err(method);
        assert_eq!(status.code(), code, "{method}: {status:?}");
        self.assert_silent(&status);
    }

    /// An error tells no secret either.
    fn assert_silent(&self, status: &Status) {
        let text = format!("{status:?}");
        let mut told = self.needles.search("an answer", text.as_bytes());
        told.extend(self.needles.search("an answer", status.details()));
        assert_eq!(told, [], "{}", status.message());
    }

    async fn create(&mut self) {
        let password = self.password("new user");
        let other = self.password("another password with the same idempotency key");
        let keyed = self
            .administrator
            .with("idempotency-key", &format!("create-{}", self.name));
        let request = self.user("ann", ("passwordSpec", json!({"password": password})));
        let first: Operation = keyed.call(CREATE, request.clone()).await.unwrap();
        let again: Operation = keyed.call(CREATE, request).await.unwrap();
        assert_eq!(first.id, again.id);
        let request = self.user("ann", ("passwordSpec", json!({"password": other})));
        self.refused(&keyed, CREATE, request, Code::InvalidArgument)
            .await;
        self.enter("ann", &password).await;
    }

    async fn create_wrongly(&mut self) {
        let spec = |password: &str| ("passwordSpec", json!({"password": password}));
        let weak = self.password("too weak").to_lowercase();
        let weak: String = weak.chars().filter(char::is_ascii_alphabetic).collect();
        self.needles
            .add_secret("weak password", Kind::Password, &weak);
        let long = self.password("too long").repeat(5);
        let forged = self.password("as a proof");
        let swapped = self.password("as a login");
        let nowhere = self.password("of nobody's pool");
        let unknown = self.password("without a right");
        let proof = (
            "passwordSpec",
            json!({"password": "short", "generationProof": forged}),
        );
        for credentials in [spec(&weak), spec(&long), proof] {
            let request = self.user("nobody", credentials);
            let admin = &self.administrator;
            self.refused(admin, CREATE, request, Code::InvalidArgument)
                .await;
        }
        let mut request = self.user("nobody", spec(&self.login("nobody")));
        request["username"] = swapped.into();
        self.refused(&self.administrator, CREATE, request, Code::InvalidArgument)
            .await;
        let mut request = self.user("nobody", spec(&nowhere));
        request["userpoolId"] = "bpf00000000000000000".into();
        self.refused(&self.administrator, CREATE, request, Code::NotFound)
            .await;
        let request = self.user("nobody", spec(&unknown));
        self.refused(&self.caller, CREATE, request, Code::Unauthenticated)
            .await;
    }

    /// Signs in with what must be right; returns the user's caller and refresh token.
    pub async fn enter(&mut self, name: &str, password: &str) -> (Caller, String) {
        match self.sign_in(name, password).await.unwrap() {
            Answer::Tokens(tokens) => self.take(tokens),
            Answer::PasswordChangeRequired(_) => panic!("{name} has to change the password"),
        }
    }

    fn take(&mut self, tokens: signin::SessionTokens) -> (Caller, String) {
        let (_, secret) = tokens.refresh_token.rsplit_once('.').unwrap();
        self.needles
            .add_secret("refresh token", Kind::Token, secret);
        let caller = self.caller.with_token(&tokens.iam_token, self.needles);
        (caller, tokens.refresh_token)
    }

    async fn sign_in(&self, name: &str, password: &str) -> Result<Answer, Status> {
        let request = json!({"username": self.login(name), "password": password});
        let answer: signin::SignInResponse = self.caller.call(SIGN_IN, request).await?;
        Ok(answer.result.unwrap())
    }

    async fn change_own(&mut self) {
        let first = self.password("before the own change");
        let second = self.password("after the own change");
        let wrong = self.password("wrong old");
        let weak = self.password("weak new").to_lowercase();
        let proof = self.password("proof of one's own");
        self.make_with("eve", &first).await;
        let (eve, _) = self.enter("eve", &first).await;
        let request =
            |new: &str, old: &str| json!({"passwordSpec": {"password": new}, "oldPassword": old});
        let keyed = eve.with("idempotency-key", &format!("own-{}", self.name));
        for refused in [
            request(&second, &wrong),
            request(&first, &first),
            request(&weak[..9], &first),
            json!({"passwordSpec": {"password": second, "generationProof": proof},
                "oldPassword": first}),
        ] {
            self.refused(&eve, SET_OWN, refused, Code::InvalidArgument)
                .await;
        }
        for _ in 0..2 {
            let _: Operation = keyed.call(SET_OWN, request(&second, &first)).await.unwrap();
        }
        self.enter("eve", &second).await;
        assert!(self.sign_in("eve", &first).await.is_err());
    }

    async fn change_others(&mut self) {
        let first = self.password("before another's change");
        let second = self.password("after another's change");
        let forged = self.password("with a proof of another");
        let id = self.make_with("fay", &first).await;
        let request = |spec: Json| json!({"userId": id, "passwordSpec": spec});
        let made = self.generate().await;
        let keyed = self
            .administrator
            .with("idempotency-key", &format!("others-{}", self.name));
        for _ in 0..2 {
            let spec = json!({"password": second});
            let _: Operation = keyed.call(SET_OTHERS, request(spec)).await.unwrap();
        }
        let spec = json!({"password": forged, "generationProof": made.generation_proof});
        let admin = &self.administrator;
        self.refused(admin, SET_OTHERS, request(spec), Code::InvalidArgument)
            .await;
        let (fay, _) = self.enter("fay", &second).await;
        let spec = json!({"password": forged});
        self.refused(&fay, SET_OTHERS, request(spec), Code::PermissionDenied)
            .await;
    }

    /// Makes the hub make up a password.
    pub async fn generate(&mut self) -> idp::PasswordSpec {
        let made: idp::GeneratePasswordResponse = self
            .administrator
            .call("UserService/GeneratePassword", json!({}))
            .await
            .unwrap();
        let made = made.password_spec.unwrap();
        let name = format!("{}: generated password", self.name);
        self.needles.add_secret(&name, Kind::Told, &made.password);
        let name = format!("{}: generation proof", self.name);
        self.needles
            .add_secret(&name, Kind::Token, &made.generation_proof);
        made
    }

    async fn sign_in_wrongly(&mut self) {
        let right = self.password("right");
        let wrong = self.password("wrong at sign-in");
        let stranger = self.password("of a stranger");
        let login = self.password("as the login at sign-in");
        self.make_with("gus", &right).await;
        for (username, password) in [
            (self.login("gus"), wrong.as_str()),
            (self.login("nobody-at-all"), &stranger),
            ("nobody@elsewhere.example".to_owned(), &stranger),
            (login.clone(), &wrong),
        ] {
            let request = json!({"username": username, "password": password});
            let answer: Result<signin::SignInResponse, _> =
                self.caller.call(SIGN_IN, request).await;
            let status = answer.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated);
            self.assert_silent(&status);
        }
        let long = right.repeat(40);
        let request = json!({"username": self.login("gus"), "password": long});
        self.refused(&self.caller, SIGN_IN, request, Code::InvalidArgument)
            .await;
        self.enter("gus", &right).await;
    }

    async fn change_at_sign_in(&mut self) {
        let made = self.generate().await;
        let new = self.password("new at sign-in");
        let weak = self.password("weak at sign-in").to_lowercase();
        let spec = json!({"password": made.password, "generationProof": made.generation_proof});
        self.make("hal", ("passwordSpec", spec)).await.unwrap();
        let answer = self.sign_in("hal", &made.password).await.unwrap();
        let Answer::PasswordChangeRequired(required) = answer else {
            panic!("hal need not change the password");
        };
        let token = required.change_token;
        let end = &token[token.len() - 40..];
        self.needles.add_secret("change token", Kind::Token, end);
        let request = |new: &str| json!({"changeToken": token, "newPassword": new});
        let short = request(&weak[..9]);
        self.refused(&self.caller, CHANGE, short, Code::InvalidArgument)
            .await;
        let changed: signin::ChangePasswordResponse =
            self.caller.call(CHANGE, request(&new)).await.unwrap();
        self.take(changed.tokens.unwrap());
        self.refused(&self.caller, CHANGE, request(&new), Code::Unauthenticated)
            .await;
    }

    async fn renew(&mut self) {
        let password = self.password("of a session");
        self.make_with("ida", &password).await;
        let (_, first) = self.enter("ida", &password).await;
        let request = |token: &str| json!({"refreshToken": token});
        let renewed: signin::RefreshResponse =
            self.caller.call(REFRESH, request(&first)).await.unwrap();
        let (ida, second) = self.take(renewed.tokens.unwrap());
        self.refused(
            &self.caller,
            REFRESH,
            request(&first),
            Code::Unauthenticated,
        )
        .await;
        self.refused(
            &self.caller,
            REFRESH,
            request(&second),
            Code::Unauthenticated,
        )
        .await;
        let typed = self.password("as a refresh token");
        self.refused(
            &self.caller,
            REFRESH,
            request(&typed),
            Code::Unauthenticated,
        )
        .await;
        let signed_out: Result<signin::SignOutResponse, _> =
            ida.call("SignInService/SignOut", json!({})).await;
        assert!(signed_out.is_err(), "a used token ends the session");
    }

    async fn make_keys(&mut self) {
        let service = |method: &str| format!("ServiceAccountService/{method}");
        let pool: idp::Userpool = self
            .administrator
            .call("UserpoolService/Get", json!({"userpoolId": self.pool_id}))
            .await
            .unwrap();
        let request = json!({"organizationId": pool.organization_id,
            "name": format!("account-{}", self.name)});
        let made: Operation = self
            .administrator
            .call(&service("Create"), request)
            .await
            .unwrap();
        let account: admin::ServiceAccount = rollcall_client::operation_response(made).unwrap();
        let request = json!({"serviceAccountId": account.id});
        let made: admin::CreateKeyResponse = self
            .administrator
            .call(&service("CreateKey"), request)
            .await
            .unwrap();
        let lines: Vec<_> = made.private_key.lines().collect();
        // The first lines of all such keys are alike.
        let line = lines[lines.len() / 2];
        self.needles.add_secret("private key", Kind::Token, line);
    }
}
