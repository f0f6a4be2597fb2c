// Clients for JavaScript. `test_node.py` runs this with the addresses and expected results.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { InferenceClient } from "@huggingface/inference";
import { CohereClientV2, CohereError } from "cohere-ai";
import OpenAI from "openai";

const given = JSON.parse(readFileSync(process.env.EMBEDKIT_GIVEN, "utf8"));
const { texts, model, reranker, key, long } = given;
const timeout = 120_000;

function close(found, wanted) {
  if (Array.isArray(wanted)) {
    const list = Array.from(found);
    assert.equal(list.length, wanted.length);
    list.forEach((one, at) => close(one, wanted[at]));
  } else {
    assert.ok(Math.abs(found - wanted) <= 1e-6 * Math.max(1, Math.abs(wanted)), `${found} is not ${wanted}`);
  }
}

const openai = (url, apiKey) => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0, timeout });

test("openai embeds, with base64 and with numbers", async () => {
  const client = openai(given.url, "any");
  for (const format of [{}, { encoding_format: "float" }, { encoding_format: "base64" }]) {
    const { data } = await client.embeddings.create({ model, input: texts, ...format });
    const vectors = data.map(({ embedding }) => {
      if (typeof embedding !== "string") return embedding;
      const bytes = Buffer.from(embedding, "base64");
      return Array.from({ length: bytes.length / 4 }, (_, at) => bytes.readFloatLE(4 * at));
    });
    close(vectors, given.dense);
  }
  const names = [];
  for await (const one of client.models.list()) names.push(one.id);
  assert.ok(names.includes(model), names.join());
});

test("openai gets its own errors", async () => {
  const missing = openai(given.url, "any").embeddings.create({ model: "nothing", input: "a" });
  await assert.rejects(missing, (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    return true;
  });
  const locked = openai(given.keyed, "wrong").embeddings.create({ model, input: "a" });
  await assert.rejects(locked, OpenAI.AuthenticationError);
  const { data } = await openai(given.keyed, key).embeddings.create({ model, input: texts });
  close(data.map((one) => one.embedding), given.dense);
});

test("@huggingface/inference embeds and compares", async () => {
  const client = new InferenceClient(undefined, { endpointUrl: given.url });
  close(await client.featureExtraction({ inputs: texts }), given.dense);
  const similarities = await client.sentenceSimilarity({
    inputs: { source_sentence: texts[0], sentences: texts.slice(1) },
  });
  close(similarities, given.similarities);
  await assert.rejects(client.featureExtraction({ inputs: long, truncate: false }), /tokens, the model takes 12/);
  const locked = new InferenceClient("hf_wrong", { endpointUrl: given.keyed });
  await assert.rejects(locked.featureExtraction({ inputs: "a" }));
});

test("cohere-ai ranks and embeds", async () => {
  const client = new CohereClientV2({ token: "any", environment: given.url });
  const ranks = await client.rerank({ model: reranker, query: "the fox", documents: texts });
  const scores = [];
  for (const { index, relevanceScore } of ranks.results) scores[index] = relevanceScore;
  close(scores, given.scores);
  const { embeddings } = await client.embed({
    model, texts, inputType: "search_document", embeddingTypes: ["float"],
  });
  close(embeddings.float, given.dense);
  const missing = client.rerank({ model: "nothing", query: "a", documents: ["b"] }, { maxRetries: 0 });
  await assert.rejects(missing, (error) => error instanceof CohereError && error.statusCode === 404);
});
