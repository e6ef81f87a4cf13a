package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// installMax bounds the install of one kind: the largest fetch is 130 MB packed.
const installMax = 15 * time.Minute

// outputTailMax is how much of a failed program's output goes into the error.
const outputTailMax = 1500

// ErrInstall says that something could not be installed; the text names what, why, and what to do.
var ErrInstall = errors.New("stack: cannot install")

// Installer installs what the stack needs. One value serves one call at a time; another process
// that installs into the same folder is waited for.
type Installer struct {
	// Progress gets a line for each step; nil for silence.
	Progress io.Writer

	lay  layout
	root bool // may install system packages
}

// Install installs the kinds that are missing, checks what was fetched against checksums.txt, and
// builds the ClickHouse front. What is there already is only checked again if it changed.
func (in *Installer) Install(ctx context.Context, kinds ...Kind) error {
	var err error
	if in.lay, err = newLayout(); err != nil {
		return err
	}
	in.root = os.Geteuid() == 0
	if err := os.MkdirAll(filepath.Join(in.lay.dir, "bin"), 0o755); err != nil {
		return fmt.Errorf("stack: make the stack's folder: %w", err)
	}
	lock, err := lockFile(filepath.Join(in.lay.dir, "install.lock"), 0)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	for _, kind := range kinds {
		if err := in.one(ctx, kind); err != nil {
			return fmt.Errorf("%w %s: %w", ErrInstall, kind, err)
		}
	}
	return nil
}

// one installs one kind within installMax, so that a registry that hangs is seen.
func (in *Installer) one(ctx context.Context, kind Kind) error {
	ctx, cancel := context.WithTimeout(ctx, installMax)
	defer cancel()
	switch kind {
	case Redis:
		return in.redis(ctx)
	case Kafka:
		return in.kafka(ctx)
	case ClickHouse:
		return in.clickHouse(ctx)
	}
	return fmt.Errorf("no server is called %q: use one of %v", kind, Kinds())
}

// say reports a step; a progress line that cannot be written is no reason to stop.
func (in *Installer) say(format string, args ...any) {
	if in.Progress != nil {
		_, _ = fmt.Fprintf(in.Progress, "stack: "+format+"\n", args...)
	}
}

// redis takes what the system has if it is new enough. The version is reported and not pinned: a
// distribution keeps it and brings the security updates.
func (in *Installer) redis(ctx context.Context) error {
	if redisAvailable() != nil {
		if err := in.apt(ctx, "redis-server", "redis-tools"); err != nil {
			return err
		}
	}
	if err := redisAvailable(); err != nil {
		return err
	}
	version, err := redisVersion(ctx)
	if err != nil {
		return err
	}
	in.say("redis %s of the system's packages is installed", version)
	return nil
}

// kafka has Maven work out the broker's libraries from pom.xml and copies them side by side, which
// is all that a class path needs.
func (in *Installer) kafka(ctx context.Context) error {
	if err := in.needJava(ctx); err != nil {
		return err
	}
	if kafkaAvailable() != nil {
		if err := in.need(ctx, "mvn", "maven"); err != nil {
			return err
		}
		in.say("fetching Apache Kafka %s and its libraries from Maven Central", KafkaVersion)
		if err := os.RemoveAll(in.lay.kafkaJars()); err != nil { // jars of another version
			return fmt.Errorf("clear the folder of kafka: %w", err)
		}
		err := in.run(ctx, in.lay.dir, "mvn", "-B", "-q", "-f", in.lay.kafkaPom(),
			MavenDependencyPlugin+":copy-dependencies", "-DincludeScope=runtime",
			"-DoutputDirectory="+in.lay.kafkaJars())
		if err != nil {
			return err
		}
	}
	if err := in.verify(Kafka); err != nil {
		return err
	}
	in.say("kafka %s is installed", KafkaVersion)
	return nil
}

// needJava installs a JDK where there is none or an old one.
func (in *Installer) needJava(ctx context.Context) error {
	major, err := javaMajor(ctx)
	if err == nil && major >= JavaMajorMin {
		return nil
	}
	if err := in.apt(ctx, "default-jdk-headless"); err != nil {
		return err
	}
	if major, err = javaMajor(ctx); err != nil {
		return err
	}
	if major < JavaMajorMin {
		return fmt.Errorf("java is version %d: install a JDK of %d or newer", major, JavaMajorMin)
	}
	return nil
}

// clickHouse fetches the engine's library and builds the front. Install scripts stay off: the
// package's own would only unpack a binding that nobody here uses.
func (in *Installer) clickHouse(ctx context.Context) error {
	if !in.npmInstalled() {
		if err := in.need(ctx, "npm", "npm"); err != nil {
			return err
		}
		in.say("fetching the ClickHouse engine (%s@%s, 560 MB unpacked) from npm", ChdbPackage,
			ChdbVersion)
		if err := os.MkdirAll(in.lay.npmDir(), 0o755); err != nil {
			return fmt.Errorf("make the folder for npm: %w", err)
		}
		err := in.run(ctx, in.lay.npmDir(), "npm", "install", "--prefix", in.lay.npmDir(),
			"--ignore-scripts", "--no-save", "--no-audit", "--no-fund", ChdbPackage+"@"+ChdbVersion)
		if err != nil {
			return err
		}
	}
	if err := in.verify(ClickHouse); err != nil {
		return err
	}
	if err := in.buildFront(ctx); err != nil {
		return err
	}
	in.say("clickhouse engine %s is installed", ChdbVersion)
	return nil
}

// npmInstalled looks at the version too: another one must be replaced.
func (in *Installer) npmInstalled() bool {
	manifest, err := os.ReadFile(filepath.Join(filepath.Dir(in.lay.libchdb()), "package.json"))
	return err == nil && strings.Contains(string(manifest), `"version": "`+ChdbVersion+`"`)
}

// buildFront builds the HTTP front, a module of its own; the toolchain's cache makes a second
// build a matter of a second. The new binary is renamed into place, so a running front stays.
func (in *Installer) buildFront(ctx context.Context) error {
	target := in.lay.frontBinary()
	if _, err := os.Stat(target); err != nil {
		in.say("building the ClickHouse front, a minute the first time")
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", target+".new", ".")
	build.Dir = in.lay.frontSource()
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off",
		"GOFLAGS=-mod=readonly -buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the ClickHouse front: %w: %s", err, tail(out))
	}
	if err := os.Rename(target+".new", target); err != nil {
		return fmt.Errorf("put the ClickHouse front into place: %w", err)
	}
	return nil
}

// verify checks what was fetched. The result is remembered with the size and time of each file and
// of the list, since summing 560 MB takes seconds.
func (in *Installer) verify(kind Kind) error {
	files, err := in.lay.fetched(kind)
	if err != nil {
		return err
	}
	state, err := fileState(files, in.lay.checksums())
	if err != nil {
		return err
	}
	memory := in.lay.verified(kind)
	if before, err := os.ReadFile(memory); err == nil && string(before) == state {
		return nil
	}
	sums, err := readPinned(in.lay.checksums())
	if err != nil {
		return err
	}
	if err := removeFile(memory); err != nil { // Available refuses what was not checked
		return err
	}
	in.say("checking the SHA-256 of %d files of %s", len(files), kind)
	if err := sums.check(kind, files); err != nil {
		return err
	}
	if err := os.WriteFile(memory, []byte(state), 0o644); err != nil {
		return fmt.Errorf("remember that %s was checked: %w", kind, err)
	}
	return nil
}

// fileState describes the files by size and time of change, which an honest fetch or an edit
// changes; it guards against mistakes and saves time, the sums guard against other files.
func fileState(files map[string]string, list string) (string, error) {
	paths := []string{list}
	for _, path := range files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	var state strings.Builder
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return "", fmt.Errorf("look at a fetched file: %w", err)
		}
		fmt.Fprintf(&state, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
	}
	return state.String(), nil
}

// need makes sure that a program is in PATH, from the Debian package if it is not.
func (in *Installer) need(ctx context.Context, program, debianPackage string) error {
	if _, err := exec.LookPath(program); err == nil {
		return nil
	}
	return in.apt(ctx, debianPackage)
}

// apt installs Debian packages. RUNLEVEL=1 keeps their install scripts from starting a service.
func (in *Installer) apt(ctx context.Context, packages ...string) error {
	names := strings.Join(packages, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("no apt-get here: install %s by hand", names)
	}
	if !in.root {
		return fmt.Errorf("not root: run apt-get install %s, then try again", names)
	}
	in.say("installing %s with apt-get", names)
	if err := in.run(ctx, in.lay.dir, "apt-get", "update"); err != nil {
		return err
	}
	install := []string{"install", "-y", "--no-install-recommends"}
	return in.run(ctx, in.lay.dir, "apt-get", append(install, packages...)...)
}

// run runs a program and keeps its output for the error; its own progress would be noise.
func (in *Installer) run(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, tail(out))
	}
	return nil
}

// tail keeps the end of a program's output, where the reason stands.
func tail(out []byte) string {
	return strings.TrimSpace(string(out[max(0, len(out)-outputTailMax):]))
}
