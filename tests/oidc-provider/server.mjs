// A real authorization server (oidc-provider) on loopback, for the end-to-end tests.
//
//   node server.mjs PORT      and one line of JSON on standard input:
//   {clients: [RFC 7591 metadata with client_id and client_secret], rotate_refresh_token: bool,
//    access_token_seconds, refresh_token_seconds, authorization_code_seconds}
//
// It prints `ready` and nothing else on standard output, and ends when standard input does, so that it never outlives
// the test that started it. Exit status 98 means that the port is taken. State is kept in memory,
// and the least recently used entries (codes, tokens, sessions) are forgotten after one or two thousand.

import { Console } from "node:console";
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";

import Provider, { errors } from "oidc-provider";

const PORT_IS_TAKEN = 98;

// The library's notices would mix with `ready`.
globalThis.console = new Console(process.stderr);

function configuration(issuer, options) {
  // The API that tokens can be for (RFC 8707). A client's own token is always for it; a person's only if `resource` asks.
  const api = `${issuer}/api`;

  return {
    clients: options.clients,
    scopes: ["openid", "offline_access", "read", "write"],
    claims: { openid: ["sub"], profile: ["name"], email: ["email", "email_verified"] },
    findAccount: (_ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: id, email: `${id}@example.test`, email_verified: true }),
    }),
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      userinfo: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (ctx) => (ctx.oidc.params.grant_type === "client_credentials" ? api : undefined),
        getResourceServerInfo: (_ctx, resource) => {
          if (resource !== api) {
            throw new errors.InvalidTarget();
          }
          return { scope: "read write", accessTokenFormat: "opaque", accessTokenTTL: options.access_token_seconds };
        },
      },
    },
    responseTypes: ["code"],
    pkce: { required: () => true },
    // RFC 6749 §1.5: refresh tokens are issued at the server's discretion; here to every client that may use them. They
    // outlive the person's session, with or without `offline_access`.
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token"),
    expiresWithSession: () => false,
    rotateRefreshToken: () => options.rotate_refresh_token,
    // Plain http on loopback: cookies are not `Secure`, because an HTTP client that is no browser would not send them.
    cookies: { keys: [randomBytes(32).toString("hex")], long: { secure: false }, short: { secure: false } },
    renderError: (ctx, out) => {
      ctx.body = out;
    },
    // `expires_in` is exact, without the default leeway of 15 seconds.
    clockTolerance: 0,
    ttl: {
      AccessToken: options.access_token_seconds,
      ClientCredentials: options.access_token_seconds,
      RefreshToken: options.refresh_token_seconds ?? 14 * 24 * 60 * 60,
      AuthorizationCode: options.authorization_code_seconds ?? 60,
      IdToken: 600,
      Interaction: 600,
      Session: 24 * 60 * 60,
      Grant: 14 * 24 * 60 * 60,
    },
  };
}

// Answers `GET /test/token-requests` with what the token endpoint was asked and how it answered, in the order of the
// answers and without any token, code or secret.
function tokenRequestLog() {
  const requests = [];

  return async function logTokenRequests(ctx, next) {
    if (ctx.method === "GET" && ctx.path === "/test/token-requests") {
      ctx.body = requests;
      return;
    }
    await next();
    if (ctx.method === "POST" && ctx.path === "/token") {
      const { grant_type: grantType = "" } = ctx.oidc.params ?? {};
      requests.push({ grant_type: String(grantType), status: ctx.status, error: ctx.body?.error ?? null });
    }
  };
}

function serve(port, options) {
  const issuer = `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, configuration(issuer, options));
  provider.use(tokenRequestLog());

  const server = provider.listen(port, "127.0.0.1", () => process.stdout.write("ready\n"));
  server.on("error", (error) => {
    console.error(error.message);
    process.exit(error.code === "EADDRINUSE" ? PORT_IS_TAKEN : 1);
  });
}

const [port] = process.argv.slice(2);
const input = createInterface({ input: process.stdin });
input.once("line", (line) => serve(Number(port), JSON.parse(line)));
input.once("close", () => process.exit(0));
