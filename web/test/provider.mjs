// A real OpenID Connect provider with people of its own, for tests:
//   node provider.mjs PORT CALLBACK...
// It says on standard output when it is ready. Whoever is sent to it says at ?as=NAME who they are.
import { generateKeyPairSync, sign } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const [port, ...callbacks] = process.argv.slice(2);
const issuer = `http://localhost:${port}`; // another site than 127.0.0.1, where the tests have their servers

const accounts = {
  anna: { email: "Anna@example.com", email_verified: true, name: "Anna Adams", groups: ["staff", "research"] },
  ben: { email: "ben@example.com", email_verified: true, name: "Ben Brown", groups: ["research"] },
  olga: { email: "olga@example.com", email_verified: true, name: "Olga Olsen", groups: ["operators"] },
  eve: { email: "eve@elsewhere.com", email_verified: true, name: "Eve", groups: ["visitors"] },
  mallory: { email: "olga@example.com", email_verified: false, name: "Mallory", groups: ["research"] },
};

const newKey = () => generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const truth = newKey();
const key = { ...truth.export({ format: "jwk" }), alg: "RS256", use: "sig", kid: `key-${Date.now()}` };
const part = (of) => Buffer.from(JSON.stringify(of)).toString("base64url");
const provider = new Provider(issuer, {
  clients: [{ client_id: "errand", client_secret: "the-client-s-secret-of-the-tests", redirect_uris: callbacks, post_logout_redirect_uris: callbacks.map((c) => new URL("/ui/sign-in", c).href) }],
  jwks: { keys: [key] },
  cookies: { keys: ["of the tests"] },
  pkce: { required: () => true },
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"], groups: ["groups"] },
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: {
      logoutSource: (ctx, form) => (ctx.body = `<h1>Sign out?</h1>${form}<button form="op.logoutForm" name="logout" value="yes">Yes</button>`),
    },
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, sub) => accounts[sub] && { accountId: sub, claims: () => ({ sub, ...accounts[sub] }) },
});

/** What the next ID token says in the place of the truth, signed with the true key. */
let lie = null;
provider.use(async (ctx, next) => {
  await next();
  if (ctx.path !== "/token" || !lie || !ctx.body?.id_token) return;
  const claims = JSON.parse(Buffer.from(ctx.body.id_token.split(".")[1], "base64url"));
  const { forged, ...said } = lie;
  const signed = `${part({ alg: "RS256", kid: key.kid })}.${part({ ...claims, ...said })}`;
  ctx.body = { ...ctx.body, id_token: `${signed}.${sign("sha256", signed, forged ? newKey() : truth).toString("base64url")}` };
  lie = null;
});

const answer = provider.callback();
createServer(async (req, res) => {
  const url = new URL(req.url, issuer);
  if (url.pathname === "/lie") {
    lie = JSON.parse(url.searchParams.get("say"));
    return res.end();
  }
  if (!url.pathname.startsWith("/interaction/")) return answer(req, res);
  const as = url.searchParams.get("as");
  if (!as) {
    res.setHeader("Content-Type", "text/html");
    return res.end(`<h1>Who are you?</h1>${Object.keys(accounts).map((a) => `<p><a href="?as=${a}">${a}</a>`).join("")}`);
  }
  if (as === "nobody") return provider.interactionFinished(req, res, { error: "access_denied", error_description: "nobody was there" });
  const { params } = await provider.interactionDetails(req, res);
  const grant = new provider.Grant({ accountId: as, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  return provider.interactionFinished(req, res, { login: { accountId: as }, consent: { grantId: await grant.save() } });
}).listen(port, "127.0.0.1", () => console.log("ready"));
