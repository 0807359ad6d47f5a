import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { CredentialAccess, type CredentialList, tokenOf } from "../../lib/serve/access.ts";
import { askingFault, type Caller } from "../../lib/serve/door.ts";
import {
  type Credential,
  CredentialsError,
  makeToken,
  NO_CREDENTIALS,
  parseCredentials,
  serializeCredentials,
  withCredential,
  withoutCredential,
} from "../../lib/serve/tokens.ts";

const CREATED = "2026-11-29T12:00:00.000Z";

function issue(name: string, rest: Partial<Credential> = {}): { text: string; credential: Credential } {
  const { text, token } = makeToken();
  return { text, credential: { name, role: "host", token, created: CREATED, ...rest } };
}

function sound(...list: Credential[]): CredentialList {
  return { kind: "sound", credentials: { list, revoked: [] } };
}

function accessWith(list: CredentialList, certificates = false): CredentialAccess {
  return new CredentialAccess(list, { certificates });
}

const bearer = (text: string) => ({ authorization: `Bearer ${text}`, certificate: undefined });
const shows = (names: string[], fault?: string) => ({
  authorization: undefined,
  certificate: { names, ids: names, ...(fault === undefined ? {} : { fault }) },
});
const NOTHING = { authorization: undefined, certificate: undefined };

Deno.test("a token is known as Bearer, and as the password of Basic whatever the user name", () => {
  const { text, credential } = issue("web", { groups: ["web"], id: "a" });
  const access = accessWith(sound(credential));
  const caller: Caller = { role: "host", name: "web", groups: new Set(["web"]), ids: new Set(["a"]) };
  for (
    const header of [
      `Bearer ${text}`,
      `bearer  ${text}`,
      `Basic ${btoa(`any:${text}`)}`,
      `BASIC ${btoa(`:${text}`)}`,
    ]
  ) {
    assertEquals(access.identify({ ...NOTHING, authorization: header }), { kind: "known", caller });
  }
  for (
    const header of [
      "",
      "Bearer",
      `Digest ${text}`,
      "Basic !",
      `Basic ${btoa("no colon")}`,
      `Bearer ${text} x`,
    ]
  ) {
    assertEquals(access.identify({ ...NOTHING, authorization: header }).kind, "refused", header);
  }
  assertEquals(tokenOf(`Basic ${btoa("user:with:colons")}`), "with:colons");
});

Deno.test("the log tells tokens that never were, that were removed and that are none; who asks is not told", () => {
  const { text, credential } = issue("web");
  const credentials = withCredential(NO_CREDENTIALS, credential);
  const removed = withoutCredential(credentials, "web", CREATED);
  const refused = (list: CredentialList, token: string) => {
    const identity = accessWith(list).identify(bearer(token));
    return identity.kind === "refused" ? identity.why : identity.kind;
  };
  const now: CredentialList = { kind: "sound", credentials: removed ?? NO_CREDENTIALS };
  assertEquals(refused({ kind: "sound", credentials }, text), "known");
  assertEquals(refused(now, text), "the token 'web' was removed");
  assertEquals(refused(now, makeToken().text), "unknown token");
  assertEquals(refused(now, "secret"), "malformed token");
  // the right token's name with another secret
  const forged = `${text.slice(0, -43)}${makeToken().text.slice(-43)}`;
  assertEquals(refused({ kind: "sound", credentials }, forged), "unknown token");
});

Deno.test("a token that does not hold is refused whatever certificate comes with it", () => {
  const access = accessWith(sound(), true);
  const both = { authorization: "Bearer x", certificate: { names: ["web1"], ids: ["web1"] } };
  assertEquals(access.identify(both).kind, "refused");
});

Deno.test("a client certificate is a host and speaks for whom it names, unless it is listed", () => {
  const access = accessWith(
    sound(
      { name: "alice", role: "operator", certificate: "alice@example.net", created: CREATED },
      { name: "db hosts", role: "host", groups: ["db"], certificate: "db1", created: CREATED },
    ),
    true,
  );
  assertEquals(access.identify(shows(["web1", "web1.example.net"])), {
    kind: "known",
    caller: { role: "host", name: "web1", ids: new Set(["web1", "web1.example.net"]) },
  });
  assertEquals(access.identify(shows(["Alice", "alice@example.net"])), {
    kind: "known",
    caller: { role: "operator", name: "alice" },
  });
  assertEquals(access.identify(shows(["db1"])), {
    kind: "known",
    caller: { role: "host", name: "db hosts", groups: new Set(["db"]), ids: new Set(["db1"]) },
  });
  for (const refused of [shows(["web1"], "it expired"), shows([]), shows(["db1", "alice@example.net"])]) {
    assertEquals(access.identify(refused).kind, "refused");
  }
  assertEquals(access.identify(NOTHING), { kind: "nobody", caller: { role: undefined, name: "anonymous" } });
});

Deno.test("without a list and certificates anybody is an operator; once there was a list, never again", () => {
  const access = accessWith({ kind: "none" });
  const caller = { role: "operator", name: "anonymous" } as const;
  assertEquals(access.identify(NOTHING), { kind: "known", caller, anybody: true });
  access.update(sound());
  assertEquals(access.identify(NOTHING).kind, "nobody");
  access.update({ kind: "none" });
  assertEquals(access.identify(NOTHING).kind, "nobody");
});

Deno.test("while the list cannot be read nobody is known, by whatever", () => {
  const { text, credential } = issue("web");
  const access = accessWith(sound(credential), true);
  const before = access.version;
  access.update({ kind: "broken", why: "cannot use /tokens: permission denied" });
  for (const presented of [bearer(text), shows(["web1"]), NOTHING]) {
    assertEquals(access.identify(presented).kind, "unavailable");
  }
  assertEquals(access.version === before, false);
});

Deno.test("a credential is good for its own id and groups only, and the default group is one of them by its empty name", () => {
  const caller: Caller = { role: "host", name: "web", groups: new Set(["web", ""]), ids: new Set(["a"]) };
  assertEquals(askingFault(caller, { id: "a", group: "web" }), undefined);
  assertEquals(askingFault(caller, { id: "a", group: "" }), undefined);
  assertEquals(askingFault(caller, { id: "a", group: "db" }), 'the credential "web" is not for group db');
  assertEquals(askingFault(caller, { id: "A", group: "web" }), 'the credential "web" is not for the id "A"');
  assertEquals(askingFault({ role: "operator", name: "anonymous" }, { id: "b", group: "db" }), undefined);
});

Deno.test("the list survives being written and read; what is not understood makes all of it unusable", () => {
  const list = [
    issue("a", { groups: ["", "web"], id: "x" }).credential,
    { name: "b", role: "operator" as const, certificate: "bob", created: CREATED },
  ];
  const credentials = { list, revoked: [{ name: "c", token: "0123", removed: CREATED }] };
  const text = serializeCredentials(credentials);
  assertEquals(parseCredentials(text), credentials);
  const wrong = [
    "",
    "{}",
    text.replace('"version": 1', '"version": 2'),
    text.replace('"operator"', '"root"'),
    text.replace(/"sha256": "../, '"sha256": "zz'),
    text.replace('"certificate": "bob",', ""),
    text.replace('"name": "b"', '"name": "a"'),
    text.replace('"web"', "7"),
  ];
  for (const text of wrong) assertThrows(() => parseCredentials(text), CredentialsError);
});

Deno.test("a token is 256 random bits that a URL can carry, and what is kept of it does not have them", () => {
  const { text, credential } = issue("web");
  assertMatch(text, /^lsm_[0-9a-f]{12}_[A-Za-z0-9_-]{43}$/);
  assertEquals(JSON.stringify(credential).includes(text.slice(-43)), false);
});

Deno.test("no two credentials have one name, and no certificate stands for two", () => {
  const list = withCredential(NO_CREDENTIALS, {
    name: "a",
    role: "viewer",
    certificate: "x",
    created: CREATED,
  });
  assertThrows(() => withCredential(list, issue("a").credential), CredentialsError, "named 'a'");
  assertThrows(
    () => withCredential(list, { name: "b", role: "host", certificate: "x", created: CREATED }),
    CredentialsError,
    "listed as 'a'",
  );
  assertEquals(withoutCredential(list, "b", CREATED), undefined);
});
