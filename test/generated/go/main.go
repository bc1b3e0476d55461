// Uses the client that openapi-generator makes: says what a person would want to know of
// each call.  In the environment are ACTEON_URL and ACTEON_API_KEY.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	openapi "github.com/acteon/generated/client"
)

// What became of a call that was refused: the status and the body.
func refusal(err error, status string) string {
	var answer *openapi.GenericOpenAPIError

	if errors.As(err, &answer) {
		return fmt.Sprintf("%s %s", status, answer.Body())
	}
	return err.Error()
}

func must(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func main() {
	configuration := openapi.NewConfiguration()
	configuration.Servers = openapi.ServerConfigurations{{URL: os.Getenv("ACTEON_URL")}}
	client := openapi.NewAPIClient(configuration)
	ctx := context.WithValue(context.Background(), openapi.ContextAccessToken, os.Getenv("ACTEON_API_KEY"))
	replay, batches := client.ReplayAPI, client.BatchesAPI

	one, _, err := replay.ReplayAction(ctx, "invoice/1").Reason("generated").Execute()
	must(err)
	fmt.Printf("one: %v of %s\n", one.Success, one.OriginalActionId)

	preview, _, err := replay.ReplayAudit(ctx).Outcome("failed").Provider("email").DryRun(true).Execute()
	must(err)
	fmt.Printf("preview: %d of %d\n", preview.Preview.Replayable, preview.Preview.Matched)

	many, _, err := replay.ReplayAudit(ctx).Outcome("failed").Provider("email").Reason("generated").Rate(0.01).Execute()
	must(err)
	fmt.Printf("many: %d replayed, %d skipped, %s first\n", many.ReplaySummary.Replayed, many.ReplaySummary.Skipped,
		many.ReplaySummary.Results[0].OriginalActionId)

	causes, _, err := replay.ListCauses(ctx).Outcome("failed").Execute()
	must(err)
	fmt.Printf("causes: %d records of %s\n", causes.Causes[0].Records, causes.Causes[0].Provider)

	list, _, err := batches.ListBatches(ctx).Limit(1).Execute()
	must(err)
	number := list.Batches[0].BatchId
	steered, _, err := batches.PauseBatch(ctx, number).Reason("wait").Execute()
	must(err)
	fmt.Printf("paused: %s, %d waiting\n", steered.State, steered.Waiting)
	batch, _, err := batches.GetBatch(ctx, number).Execute()
	must(err)
	fmt.Printf("batch: %s, %s\n", batch.State, batch.GetReason())
	items, _, err := batches.ListItems(ctx, number).Execute()
	must(err)
	fmt.Printf("items: %d, %s\n", len(items.Items), items.Items[0].State)
	steered, _, err = batches.CancelBatch(ctx, number).Reason("no").Execute()
	must(err)
	fmt.Printf("cancelled: %s, %d\n", steered.State, steered.Cancelled)

	_, answer, err := replay.ReplayAction(ctx, "nothing").Execute()
	fmt.Println("refused:", refusal(err, answer.Status))
}
