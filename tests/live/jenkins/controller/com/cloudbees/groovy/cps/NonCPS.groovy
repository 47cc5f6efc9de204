package com.cloudbees.groovy.cps

import java.lang.annotation.Retention
import java.lang.annotation.RetentionPolicy

/** Stands in for Jenkins' own: code that may call no step. */
@Retention(RetentionPolicy.RUNTIME)
@interface NonCPS {}
