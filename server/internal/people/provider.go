package people

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/secret"
)

// Times of a sign-in.
const (
	// AttemptLength is how long somebody may take at the provider.
	AttemptLength = 10 * time.Minute
	patience      = 10 * time.Second // with the provider
	again         = 15 * time.Second // until it is asked again who it is
)

// Why says why somebody is not signed in.
type Why string

// The reasons. The page where people sign in has a sentence for each.
const (
	Stale    Why = "stale"    // begun elsewhere, too long ago, or used already
	Denied   Why = "denied"   // the provider, or the person there, has said no
	Absent   Why = "absent"   // the provider cannot be reached, or is another one
	Untrue   Why = "untrue"   // what it says is not to be believed
	Nameless Why = "nameless" // it does not say as whom the person acts
	Unknown  Why = "unknown"  // no rule is for the person
	Revoked  Why = "revoked"  // an admin has revoked what they may do
)

// RefusedError is an error that says why somebody is not signed in, and for the operator the details.
type RefusedError struct {
	Why Why
	// Who is the user as whom somebody wanted to act, and Groups are theirs, as far as they
	// are known.
	Who    string
	Groups []string
	Err    error
}

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns what Err is.
func (e *RefusedError) Unwrap() error { return e.Err }

// Provider is the OpenID Connect provider with which people sign in. It is safe for
// concurrent use.
type Provider struct {
	config Config
	box    *secret.Box
	// callback and page are the URLs to which the provider sends people back who have signed
	// in and out.
	callback, page string
	http           *http.Client

	mu     sync.Mutex
	found  *oidc.Provider // once it has described itself
	absent error          // why it has not
}

// NewProvider makes a provider of a configuration that Check has found good.
func NewProvider(c Config, box *secret.Box, callback, page string) *Provider {
	return &Provider{
		config: c, box: box, callback: callback, page: page, absent: errors.New("it was not asked yet"),
		http: &http.Client{Timeout: patience, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute}},
	}
}

// Name is the provider's for people.
func (p *Provider) Name() string { return p.config.Name }

// EndsSession reports whether signing out here is to sign out at the provider, too.
func (p *Provider) EndsSession() bool { return p.config.EndSession }

// Absent says why people cannot sign in at the moment, nil if they can.
func (p *Provider) Absent() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.absent
}

// Run asks who the provider is until it is known, or ctx ends. The server does not wait for it.
func (p *Provider) Run(ctx context.Context, log *slog.Logger) {
	defer p.http.CloseIdleConnections()
	told := ""
	for ctx.Err() == nil {
		if _, err := p.known(ctx); err == nil {
			<-ctx.Done()
			return
		} else if err.Error() != told && ctx.Err() == nil {
			told = err.Error()
			log.ErrorContext(ctx, "nobody can sign in with the provider; it is asked again", "issuer", p.config.Issuer, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// known is the provider as it describes itself; it is asked until it has.
func (p *Provider) known(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	found := p.found
	p.mu.Unlock()
	if found != nil {
		return found, nil
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.http), p.config.Issuer)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.found = found
	}
	if p.absent = err; p.found != nil { // somebody else may have found it meanwhile
		p.absent, err = nil, nil
	}
	return p.found, err
}

func (p *Provider) client(found *oidc.Provider) *oauth2.Config {
	scopes := append([]string{oidc.ScopeOpenID}, slices.DeleteFunc(slices.Clone(p.config.Scopes), func(s string) bool { return s == oidc.ScopeOpenID })...)
	return &oauth2.Config{ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret, Endpoint: found.Endpoint(), RedirectURL: p.callback, Scopes: scopes}
}

// attempt is what the browser keeps, sealed, while somebody is at the provider.
type attempt struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	Next     string    `json:"next"`
	Until    time.Time `json:"until"`
}

// attemptName is what attempts are sealed under.
const attemptName = "oidc attempt"

// Begin returns where somebody is to go to sign in, and what their browser is to keep
// meanwhile. They come back to the page next.
func (p *Provider) Begin(ctx context.Context, next string) (to, kept string, err error) {
	found, err := p.known(ctx)
	if err != nil {
		return "", "", &RefusedError{Why: Absent, Err: err}
	}
	a := attempt{State: auth.Random(), Nonce: auth.Random(), Verifier: oauth2.GenerateVerifier(), Next: next, Until: time.Now().Add(AttemptLength)}
	text, err := json.Marshal(a)
	if err != nil {
		return "", "", fmt.Errorf("begin to sign in: %w", err)
	}
	to = p.client(found).AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier))
	return to, base64.RawURLEncoding.EncodeToString(p.box.Seal(attemptName, text)), nil
}

// Finish returns who has come back from the provider with some parameters, and to which page
// they want. The error is a RefusedError.
func (p *Provider) Finish(ctx context.Context, kept string, said url.Values) (who auth.Person, next string, err error) {
	a, err := p.attempt(kept, said.Get("state"))
	if err != nil {
		return who, "", &RefusedError{Why: Stale, Err: err}
	}
	if word := said.Get("error"); word != "" {
		return who, a.Next, &RefusedError{Why: Denied, Err: fmt.Errorf("the provider answers %.60q: %.200q", word, said.Get("error_description"))}
	}
	of, token, err := p.claims(ctx, a, said.Get("code"))
	if err != nil {
		return who, a.Next, err
	}
	owner, err := p.config.Claims.owner(of)
	if err != nil {
		return who, a.Next, &RefusedError{Why: Nameless, Err: err}
	}
	who, err = p.config.person(owner, of)
	if err != nil {
		return who, a.Next, &RefusedError{Why: Unknown, Who: owner, Groups: of.texts(p.config.Claims.Groups), Err: err}
	}
	who.Mark = p.box.MAC("person", who.Organization, token.Issuer, token.Subject)
	return who, a.Next, nil
}

// attempt opens what a browser has kept.
func (p *Provider) attempt(kept, state string) (a attempt, err error) {
	sealed, err := base64.RawURLEncoding.DecodeString(kept)
	if err != nil {
		return a, errors.New("the browser has kept something else")
	}
	text, err := p.box.Open(attemptName, sealed)
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	switch {
	case err != nil:
		return a, errors.New("the browser has kept nothing that this server has sealed")
	case a.State != state:
		return a, errors.New("the provider answers another attempt than the browser's last")
	case !time.Now().Before(a.Until):
		return a, errors.New("it took too long at the provider")
	}
	return a, nil
}

// claims fetches what the provider says of the person for whom a code stands.
func (p *Provider) claims(ctx context.Context, a attempt, code string) (claims, *oidc.IDToken, error) {
	found, err := p.known(ctx)
	if err != nil {
		return nil, nil, &RefusedError{Why: Absent, Err: err}
	}
	ctx = oidc.ClientContext(ctx, p.http)
	tokens, err := p.client(found).Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if refused, is := errors.AsType[*oauth2.RetrieveError](err); is {
		return nil, nil, &RefusedError{Why: Untrue, Err: fmt.Errorf("the provider refuses the code: %.60q: %.200q (%s)", refused.ErrorCode, refused.ErrorDescription, refused.Response.Status)}
	}
	if err != nil {
		return nil, nil, &RefusedError{Why: Absent, Err: err}
	}
	raw, _ := tokens.Extra("id_token").(string)
	token, err := found.Verifier(&oidc.Config{ClientID: p.config.ClientID}).Verify(ctx, raw)
	switch {
	case err != nil:
		return nil, nil, &RefusedError{Why: Untrue, Err: err}
	case token.Subject == "":
		return nil, nil, &RefusedError{Why: Untrue, Err: errors.New("the ID token is about nobody (sub)")}
	case token.Nonce != a.Nonce:
		return nil, nil, &RefusedError{Why: Untrue, Err: errors.New("the ID token is of another attempt (nonce)")}
	}
	of := claims{}
	if err := token.Claims(&of); err != nil {
		return nil, nil, &RefusedError{Why: Untrue, Err: err}
	}
	if err := p.complete(ctx, found, tokens, token.Subject, of); err != nil {
		return nil, nil, err
	}
	return of, token, nil
}

// complete asks the provider for what the ID token does not say.
func (p *Provider) complete(ctx context.Context, found *oidc.Provider, tokens *oauth2.Token, subject string, of claims) error {
	wanted := []string{p.config.Claims.Owner, p.config.Claims.Name, p.config.Claims.Groups}
	if p.config.Claims.Owner == emailClaim {
		wanted = append(wanted, verifiedClaim)
	}
	if found.UserInfoEndpoint() == "" || !slices.ContainsFunc(wanted, func(name string) bool { return name != "" && of[name] == nil }) {
		return nil
	}
	info, err := found.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return &RefusedError{Why: Absent, Err: err}
	}
	if info.Subject != subject {
		return &RefusedError{Why: Untrue, Err: errors.New("what the provider says of the user is about somebody else (sub)")}
	}
	more := claims{}
	if err := info.Claims(&more); err != nil {
		return &RefusedError{Why: Untrue, Err: err}
	}
	of.add(more) // the token's word goes first: it is signed
	return nil
}

// Leave returns where somebody goes to sign out at the provider, from where they come back to
// the page where they sign in; that page itself if the provider has no such place.
func (p *Provider) Leave(ctx context.Context) string {
	found, err := p.known(ctx)
	if err != nil {
		return p.page
	}
	var is struct {
		End string `json:"end_session_endpoint"`
	}
	if err := found.Claims(&is); err != nil || is.End == "" {
		return p.page
	}
	to, err := url.Parse(is.End)
	if err != nil {
		return p.page
	}
	query := to.Query()
	query.Set("client_id", p.config.ClientID)
	query.Set("post_logout_redirect_uri", p.page)
	to.RawQuery = query.Encode()
	return to.String()
}
