// Replays with lib/pq: the actions that are named, then those that match.
package main

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lib/pq"
)

// snippet: begin
func replay(db *sql.DB, actionID string) (string, error) {
	var newID string
	var success bool
	var failure sql.NullString

	err := db.QueryRow("SELECT new_action_id, success, error FROM acteon_replay($1, reason => $2)",
		actionID, "INC-42: provider's down").Scan(&newID, &success, &failure)
	var refusal *pq.Error
	if errors.As(err, &refusal) && (refusal.Code == "P0002" || refusal.Code == "42501") {
		return fmt.Sprintf("%s %s", refusal.Code, refusal.Message), nil // no such record; no grant for it
	} else if err != nil || !success {
		return failure.String, err
	}
	return "replayed as " + newID, nil
}

var from, to = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC), time.Date(2026, 1, 15, 13, 0, 0, 0, time.UTC)

func plan(db *sql.DB) (matched, replayable int64, err error) {
	err = db.QueryRow(`SELECT matched, replayable FROM acteon_replay_preview(provider => $1, outcome => $2,
		from_time => $3, to_time => $4, max_records => $5) WHERE section = 'total'`,
		"email", "failed", from, to, 500).Scan(&matched, &replayable)
	return
}

func replayAll(db *sql.DB) (replayed, failed, skipped int, err error) {
	err = db.QueryRow(`SELECT replayed, failed, skipped FROM acteon_replay_bulk(provider => $1, outcome => $2,
		from_time => $3, to_time => $4, max_records => $5, reason => $6)`,
		"email", "failed", from, to, 500, "INC-42: provider's down").Scan(&replayed, &failed, &skipped)
	return
}

// snippet: end

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	db, err := sql.Open("postgres", "") // PGHOST, PGDATABASE, PGUSER, ..., or a connection string
	must(err)
	defer db.Close()
	for _, actionID := range os.Args[1:] {
		answer, err := replay(db, actionID)
		must(err)
		fmt.Printf("%s: %s\n", actionID, answer)
	}
	matched, replayable, err := plan(db)
	must(err)
	fmt.Printf("would replay %d of %d\n", replayable, matched)
	replayed, failed, skipped, err := replayAll(db)
	must(err)
	fmt.Printf("replayed %d, failed %d, skipped %d\n", replayed, failed, skipped)
}
