// Package acteon is the part of the gateway's Go SDK that replays: the same names,
// the same requests, and answers read the same way.
package acteon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ConnectionError says that the server was not reached, or not understood.
type ConnectionError struct {
	Message string
}

func (e *ConnectionError) Error() string     { return "connection error: " + e.Message }
func (e *ConnectionError) IsRetryable() bool { return true }

// HTTPError says that the server answered with another status than 200.
type HTTPError struct {
	Status  int
	Message string
}

func (e *HTTPError) Error() string     { return fmt.Sprintf("HTTP %d: %s", e.Status, e.Message) }
func (e *HTTPError) IsRetryable() bool { return e.Status >= 500 }

// ReplayResult is what became of one action.
type ReplayResult struct {
	OriginalActionID string  `json:"original_action_id"`
	NewActionID      string  `json:"new_action_id"`
	Success          bool    `json:"success"`
	Error            *string `json:"error,omitempty"`
}

// ReplaySummary is what became of a bulk replay.
type ReplaySummary struct {
	Replayed int            `json:"replayed"`
	Failed   int            `json:"failed"`
	Skipped  int            `json:"skipped"`
	Results  []ReplayResult `json:"results"`
}

// ReplayQuery says which records to replay.
type ReplayQuery struct {
	Namespace   string
	Tenant      string
	Provider    string
	ActionType  string
	Outcome     string
	Verdict     string
	MatchedRule string
	From        string
	To          string
	Limit       int
}

// Client speaks to a server.
type Client struct {
	baseURL    string
	httpClient *http.Client
	apiKey     string
}

// ClientOption sets something of a Client.
type ClientOption func(*Client)

// WithAPIKey sets the key.
func WithAPIKey(apiKey string) ClientOption {
	return func(c *Client) { c.apiKey = apiKey }
}

// NewClient makes a client of the server at an address.
func NewClient(baseURL string, opts ...ClientOption) *Client {
	c := &Client{baseURL: strings.TrimSuffix(baseURL, "/"), httpClient: &http.Client{Timeout: 30 * time.Second}}
	for _, opt := range opts {
		opt(c)
	}
	return c
}

// Post, and read the answer if there is one with status 200; return the status.
func (c *Client) post(ctx context.Context, path string, answer any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.baseURL+path, nil)
	if err != nil {
		return 0, &ConnectionError{Message: err.Error()}
	}
	req.Header.Set("Content-Type", "application/json")
	if c.apiKey != "" {
		req.Header.Set("Authorization", "Bearer "+c.apiKey)
	}
	resp, err := c.httpClient.Do(req)
	if err != nil {
		return 0, &ConnectionError{Message: err.Error()}
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
			return 0, &ConnectionError{Message: err.Error()}
		}
	}
	return resp.StatusCode, nil
}

// ReplayAction replays one action.  Its id is not escaped, but for what net/url does.
func (c *Client) ReplayAction(ctx context.Context, actionID string) (*ReplayResult, error) {
	var result ReplayResult
	status, err := c.post(ctx, "/v1/audit/"+actionID+"/replay", &result)

	switch {
	case err != nil:
		return nil, err
	case status == http.StatusOK:
		return &result, nil
	case status == http.StatusNotFound:
		return nil, &HTTPError{Status: status, Message: "Audit record not found: " + actionID}
	case status == http.StatusUnprocessableEntity:
		return nil, &HTTPError{Status: status, Message: "No stored payload available for replay"}
	}
	return nil, &HTTPError{Status: status, Message: "Failed to replay action"}
}

// ReplayAudit replays what matches.
func (c *Client) ReplayAudit(ctx context.Context, query *ReplayQuery) (*ReplaySummary, error) {
	path := "/v1/audit/replay"
	params := url.Values{}
	set := func(name, value string) {
		if value != "" {
			params.Set(name, value)
		}
	}
	if query != nil {
		set("namespace", query.Namespace)
		set("tenant", query.Tenant)
		set("provider", query.Provider)
		set("action_type", query.ActionType)
		set("outcome", query.Outcome)
		set("verdict", query.Verdict)
		set("matched_rule", query.MatchedRule)
		set("from", query.From)
		set("to", query.To)
		if query.Limit > 0 {
			set("limit", strconv.Itoa(query.Limit))
		}
	}
	if len(params) > 0 {
		path += "?" + params.Encode()
	}

	var summary ReplaySummary
	status, err := c.post(ctx, path, &summary)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, &HTTPError{Status: status, Message: "Failed to replay audit"}
	}
	return &summary, nil
}
