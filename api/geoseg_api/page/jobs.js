// The list of jobs, which the service keeps, and the one that is looked at: its progress while it runs, then its map.

import { follow, get, remove } from "./api.js";
import { byId, fill, make, moment, problemLines } from "./dom.js";
import { Result } from "./result.js";

const WORDS = { accepted: "waiting", running: "running", successful: "done", failed: "failed", dismissed: "stopped" };
const FINAL = new Set(["successful", "failed", "dismissed"]);
const ID = /^[a-z0-9-]{1,64}$/;
const PAGE = 20;
const LOOK_MS = 10_000;

export class Jobs {
  #map;
  #swipe;
  #titles;
  #jobs = new Map();
  #open = null;
  #before = null;

  /** `titles` gives the title of a process by its id. */
  constructor(map, swipe, titles) {
    this.#map = map;
    this.#swipe = swipe;
    this.#titles = titles;
    byId("jobs-more").addEventListener("click", () => this.load(this.#before));
    globalThis.addEventListener("hashchange", () => this.openNamed());
    setInterval(() => this.#look(), LOOK_MS);
  }

  /** Read the list, or the part of it after what is there. */
  async load(before = null) {
    const found = await get(`jobs?limit=${PAGE}${before ? `&before=${encodeURIComponent(before)}` : ""}`);
    for (const job of found.jobs) this.#jobs.set(job.jobID, job);
    const next = found.links.find((link) => link.rel === "next");
    if (before || !this.#before) this.#before = next ? new URL(next.href).searchParams.get("before") : null;
    byId("jobs-more").hidden = !this.#before;
    this.#list();
  }

  /** Open the job that the address names, so that a reload goes on where it was. */
  openNamed() {
    const id = new URLSearchParams(location.hash.slice(1)).get("job");
    if (id && ID.test(id)) this.open(id);
    else this.close();
  }

  /** Show a job, and follow it while it runs. */
  async open(id) {
    if (this.#open?.id === id) return;
    this.close();
    const open = { id, stop: new AbortController(), result: null, wasThere: null };
    this.#open = open;
    if (new URLSearchParams(location.hash.slice(1)).get("job") !== id) history.replaceState(null, "", `#job=${id}`);
    byId("job").hidden = false;
    fill(byId("job"), make("p", { class: "quiet" }, "…"));
    toJob();
    try {
      await follow(`jobs/${id}/events`, (job) => this.#told(open, job), open.stop.signal);
    } catch (error) {
      if (this.#open === open) fill(byId("job"), problemLines(error));
    }
  }

  close() {
    this.#open?.stop.abort();
    this.#open?.result?.stop();
    this.#open = null;
    byId("job").hidden = true;
    this.#list();
  }

  #told(open, job) {
    if (this.#open !== open) return true;
    this.#jobs.set(job.jobID, job);
    open.wasThere ??= FINAL.has(job.status); // who watches it being made has found the place
    this.#list();
    this.#draw(job);
    if (job.status === "successful") this.#finished(open, job);
    return FINAL.has(job.status);
  }

  async #finished(open, job) {
    if (job.processID === "echo") return;
    open.result = new Result(this.#map, this.#swipe, job.jobID);
    try {
      const elements = await open.result.start();
      if (this.#open !== open) {
        open.result.stop();
        return;
      }
      byId("job").append(...elements.filter(Boolean));
      if (open.wasThere) toJob();
    } catch (error) {
      if (this.#open === open) byId("job").append(problemLines(error));
    }
  }

  /** What is said of the open job; while its status stays the same only words and bar change, so that they are read out. */
  #draw(job) {
    const isFinal = FINAL.has(job.status);
    const drawn = byId("job-status");
    if (drawn?.dataset.of === `${job.jobID} ${job.status}`) {
      drawn.textContent = statusWords(job);
      byId("job").querySelector("progress").value = job.progress || 0;
      return;
    }
    const title = make("h3", {}, this.#title(job));
    const attributes = { id: "job-status", role: "status", "data-of": `${job.jobID} ${job.status}` };
    const words = make("p", attributes, statusWords(job));
    const bar = make("progress", { max: "100", "aria-label": "Progress" });
    if (job.status === "running") bar.value = job.progress || 0;
    const onclick = () => this.#end(job);
    const end = make("button", { type: "button", class: "plain", onclick }, isFinal ? "Delete" : "Stop");
    const close = make("button", { type: "button", class: "plain", onclick: () => this.#leave() }, "Close");
    const failure = job.status === "failed" && job.exception ? failureLines(job.exception) : null;
    const head = make("div", { class: "row between" }, title, make("span", { class: "row" }, end, close));
    fill(byId("job"), head, words, isFinal ? null : bar, failure);
  }

  #leave() {
    history.replaceState(null, "", location.pathname + location.search);
    this.close();
  }

  async #end(job) {
    const isFinal = FINAL.has(job.status);
    if (isFinal && !confirm("Delete this map and its files?")) return;
    try {
      const now = await remove(`jobs/${job.jobID}`);
      this.#jobs.set(job.jobID, now);
      if (isFinal) this.#leave();
      else this.#list();
    } catch (error) {
      byId("job").append(problemLines(error));
    }
  }

  /** Look again while something is going on that nobody follows. */
  #look() {
    const others = [...this.#jobs.values()].some((job) => !FINAL.has(job.status) && job.jobID !== this.#open?.id);
    if (others && !document.hidden) this.load().catch(() => {}); // the next look will tell
  }

  #list() {
    const isThere = (job) => job.status !== "dismissed" || job.jobID === this.#open?.id;
    const jobs = [...this.#jobs.values()].filter(isThere).sort((a, b) => (a.created < b.created ? 1 : -1));
    byId("jobs-none").hidden = jobs.length > 0;
    const rows = jobs.map((job) => {
      const isOpen = this.#open?.id === job.jobID;
      const state = job.status === "running" ? `${job.progress || 0} %` : WORDS[job.status] || job.status;
      const onclick = () => this.open(job.jobID);
      const words = [
        make("span", {}, this.#title(job)),
        make("small", {}, moment(job.created)),
        make("span", { class: `state ${job.status}` }, state),
      ];
      const attributes = { type: "button", "data-job": job.jobID, "aria-current": isOpen ? "true" : undefined, onclick };
      return make("li", {}, make("button", attributes, ...words));
    });
    const focused = document.activeElement?.dataset?.job;
    fill(byId("jobs"), ...rows);
    if (focused) byId("jobs").querySelector(`[data-job="${CSS.escape(focused)}"]`)?.focus();
  }

  #title = (job) => this.#titles.get(job.processID) || job.processID || "Job";
}

const toJob = () => byId("jobs-title").scrollIntoView({ block: "start" });

function statusWords(job) {
  const word = WORDS[job.status] || job.status;
  const more = job.status === "running" ? `${job.progress || 0} %` : "";
  const message = job.message === word ? "" : job.message;
  return [word.charAt(0).toUpperCase() + word.slice(1), more, message].filter(Boolean).join(" · ");
}

function failureLines(exception) {
  const first = (exception.errors || [])[0] || {};
  return problemLines({ message: exception.detail, given: first.given, expected: first.expected, hint: first.hint });
}
