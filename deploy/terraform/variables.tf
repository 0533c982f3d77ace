# SPDX-License-Identifier: Apache-2.0

variable "kubeconfig" {
  description = "The file that says how to reach the cluster."
  type        = string
  default     = "~/.kube/config"
}

variable "context" {
  description = "The context in it; the current one unless given."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Where Tapedeck lives."
  type        = string
  default     = "tapedeck"
}

variable "database_url" {
  description = "libpq URI of the writer."
  type        = string
  sensitive   = true
}

variable "reader_url" {
  description = "libpq URI of the reader, a replica's for instance."
  type        = string
  sensitive   = true
}

variable "source_secrets" {
  description = "What sources need to log in, by the environment's names, as in FINNHUB_API_TOKEN."
  type        = map(string)
  default     = {}
  sensitive   = true
}

variable "storage_class" {
  description = "Of the volume in which ingest keeps what waits for the log; the cluster's default unless given."
  type        = string
  default     = null
}

variable "ingest_storage" {
  description = "Size of that volume."
  type        = string
  default     = "10Gi"
}
