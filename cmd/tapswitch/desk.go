package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

const (
	deskTimeout     = 10 * time.Second
	deskAnswerMax   = 4 << 20 // bytes of one answer
	defaultGateURL  = "http://127.0.0.1:8583"
	deskTokenEnv    = "TAPSWITCH_TOKEN"
	deskAddressEnv  = "TAPSWITCH_URL"
	deskTokenNeeded = "no token: give --token-file or set " + deskTokenEnv
)

// deskClient speaks to the gate's operator calls.
type deskClient struct {
	url       string
	tokenFile string
	form      output
}

func (d *deskClient) add(c *cobra.Command) {
	url := os.Getenv(deskAddressEnv)
	if url == "" {
		url = defaultGateURL
	}
	c.PersistentFlags().StringVar(&d.url, "url", url, "address of the gate ("+deskAddressEnv+")")
	c.PersistentFlags().StringVar(&d.tokenFile, "token-file", "",
		"file with the operator's token (else "+deskTokenEnv+")")
	d.form = outTable
	c.PersistentFlags().VarP(&d.form, "output", "o", "table or json")
}

func (d *deskClient) token() (string, error) {
	if d.tokenFile == "" {
		if t := os.Getenv(deskTokenEnv); t != "" {
			return t, nil
		}
		return "", withCode(exitUsage, errors.New(deskTokenNeeded))
	}
	text, err := os.ReadFile(d.tokenFile)
	if err != nil {
		return "", withCode(exitUsage, fmt.Errorf("token file: %w", err))
	}
	return strings.TrimSpace(string(text)), nil
}

// call sends one request and prints the answer. An error answer becomes an error with its
// exit code; its text is the server's, which holds no card number.
func (d *deskClient) call(c *cobra.Command, method, path string, body any) error {
	answer, err := d.send(c.Context(), method, path, body)
	if err != nil {
		return err
	}
	if d.form == outJSON {
		return printJSON(c.OutOrStdout(), answer)
	}
	return printFields(c.OutOrStdout(), answer)
}

func (d *deskClient) send(
	ctx context.Context, method, path string, body any,
) (json.RawMessage, error) {
	token, err := d.token()
	if err != nil {
		return nil, err
	}
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
		payload = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, deskTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(d.url, "/")+path, payload)
	if err != nil {
		return nil, withCode(exitUsage, fmt.Errorf("--url: %w", err))
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, withCode(exitUnavailable, fmt.Errorf("the gate does not answer: %w", err))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, deskAnswerMax))
	if err != nil {
		return nil, withCode(exitUnavailable, fmt.Errorf("the gate's answer broke off: %w", err))
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, answerError(resp.StatusCode, text)
	}
	return text, nil
}

// answerError reads an error answer of the gate.
func answerError(status int, text []byte) error {
	var answer struct {
		Error struct {
			Code, Message, Param string
		}
	}
	err := fmt.Errorf("the gate answered %d", status)
	if json.Unmarshal(text, &answer) == nil && answer.Error.Code != "" {
		err = fmt.Errorf("%s: %s", answer.Error.Code, answer.Error.Message)
		if answer.Error.Param != "" {
			err = fmt.Errorf("%w (%s)", err, answer.Error.Param)
		}
	}
	switch {
	case status == http.StatusNotFound:
		return withCode(exitNotFound, err)
	case status == http.StatusConflict:
		return withCode(exitConflict, err)
	case status == http.StatusServiceUnavailable:
		return withCode(exitUnavailable, err)
	default:
		return withCode(exitFailed, err)
	}
}

// printFields writes an object as lines of name and value, in the server's order.
func printFields(w io.Writer, text json.RawMessage) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		_, err := w.Write(append(text, '\n'))
		return err
	}
	tab := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		fmt.Fprintf(tab, "%v\t%s\n", name, strings.Trim(string(value), `"`))
	}
	return tab.Flush()
}

// cardArgument reads a card: 32 hex digits are a token, "-" reads the number from standard
// input so that it stands in no shell history, anything else is a number.
func cardArgument(c *cobra.Command, arg string) (map[string]any, error) {
	if arg == "-" {
		text, err := io.ReadAll(io.LimitReader(c.InOrStdin(), 64))
		if err != nil {
			return nil, fmt.Errorf("card number: %w", err)
		}
		arg = strings.TrimSpace(string(text))
	}
	if len(arg) == 32 {
		return map[string]any{"token": arg}, nil
	}
	return map[string]any{"card": arg}, nil
}
