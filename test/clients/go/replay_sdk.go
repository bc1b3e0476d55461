// Replays with the gateway's SDK: the actions that are named, then those that match.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/penserai/acteon/clients/go/acteon"
)

// snippet: begin
var client = acteon.NewClient(os.Getenv("ACTEON_URL"), acteon.WithAPIKey(os.Getenv("ACTEON_API_KEY")))

func replay(actionID string) (string, error) {
	result, err := client.ReplayAction(context.Background(), actionID)
	var refusal *acteon.HTTPError
	if errors.As(err, &refusal) {
		return fmt.Sprint(refusal.Status), nil // 404: no such record, 403: no grant for it
	} else if err != nil {
		return "", err
	} else if !result.Success {
		return *result.Error, nil
	}
	return "replayed as " + result.NewActionID, nil
}

func replayAll() (*acteon.ReplaySummary, error) {
	return client.ReplayAudit(context.Background(), &acteon.ReplayQuery{Provider: "email", Outcome: "failed", Limit: 500,
		From: "2026-01-15T13:00:00+01:00", To: "2026-01-15T14:00:00+01:00"})
}

// snippet: end

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	for _, actionID := range os.Args[1:] {
		answer, err := replay(actionID)
		must(err)
		fmt.Printf("%s: %s\n", actionID, answer)
	}
	summary, err := replayAll()
	must(err)
	fmt.Printf("replayed %d, failed %d, skipped %d\n", summary.Replayed, summary.Failed, summary.Skipped)
}
